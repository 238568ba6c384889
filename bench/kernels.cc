// One thread through the Codec interface, block by block as the pipeline does it: every codec, both
// ways, at several fractions of changed words, with memcpy of the same tensor timed in turn.
#include <vector>

#include "base/checksum.h"
#include "bench/harness.h"
#include "codec/codec.h"

namespace bitsnap {
namespace {

using namespace bench;

constexpr double kFractions[] = {0, 0.01, 0.1, 0.5, 1};
constexpr DType kDTypes[] = {DType::kBF16, DType::kF32};

BlockContext Context(const Codec& codec, size_t at) {
  BlockContext context;
  if (codec.needs_base()) context.base = {Bytes(Tensors::Get().base).subspan(at, kBlockBytes)};
  return context;
}

size_t EncodeBlock(const Codec& codec, DType dtype, size_t at, MutableBytes out, Scratch& scratch) {
  const Bytes raw = Bytes(Tensors::Get().current).subspan(at, kBlockBytes);
  // Without a limit, so that blocks which do not get smaller are coded too.
  return codec.Encode(Context(codec, at), {{dtype, raw}}, SIZE_MAX, out, {}, scratch)->bytes;
}

void BenchEncode(benchmark::State& state, const Codec& codec, DType dtype, double fraction) {
  Tensors::Get().Prepare(dtype, fraction);
  Scratch scratch;
  Buffer out(codec.EncodeBound(kBlockBytes));
  Measure(state, [&] {
    size_t coded = 0;
    for (size_t at = 0; at < kTensorBytes; at += kBlockBytes) {
      coded += EncodeBlock(codec, dtype, at, out, scratch);
    }
    return coded;
  });
}

void BenchDecode(benchmark::State& state, const Codec& codec, DType dtype, double fraction) {
  Tensors::Get().Prepare(dtype, fraction);
  Scratch scratch;
  Buffer out(codec.EncodeBound(kBlockBytes));
  Buffer coded;
  std::vector<size_t> ends;
  for (size_t at = 0; at < kTensorBytes; at += kBlockBytes) {
    const size_t size = EncodeBlock(codec, dtype, at, out, scratch);
    coded.insert(coded.end(), out.begin(), out.begin() + size);
    ends.push_back(coded.size());
  }
  out.resize(kBlockBytes);
  Measure(state, [&] {
    size_t begin = 0;
    for (size_t block = 0; block < ends.size(); ++block) {
      const Bytes payload = Bytes(coded).subspan(begin, ends[block] - begin);
      const BlockContext context = Context(codec, block * kBlockBytes);
      if (!codec.Decode(context, payload, {{dtype, out}}, scratch))
        state.SkipWithError("decode failed");
      begin = ends[block];
    }
    return coded.size();
  });
}

void BenchMemcpy(benchmark::State& state) {
  Tensors& tensors = Tensors::Get();
  tensors.Prepare(DType::kBF16, 0);
  Measure(state, [&] {
    std::memcpy(tensors.copy.data(), tensors.base.data(), kTensorBytes);
    benchmark::ClobberMemory();
    return kTensorBytes;
  });
}

void BenchChecksum(benchmark::State& state) {
  Tensors& tensors = Tensors::Get();
  tensors.Prepare(DType::kBF16, 0);
  Measure(state, [&] {
    for (size_t at = 0; at < kTensorBytes; at += kBlockBytes) {
      benchmark::DoNotOptimize(Checksum64(Bytes(tensors.current).subspan(at, kBlockBytes)));
    }
    return kTensorBytes;
  });
}

void RegisterCodec(const Codec& codec, DType dtype, double fraction) {
  std::string name = fmt::format("{}/{}", codec.name(), DTypeName(dtype));
  if (codec.needs_base()) name += fmt::format("/changed:{}", fraction);
  Register(name + "/encode", BenchEncode, std::cref(codec), dtype, fraction);
  Register(name + "/decode", BenchDecode, std::cref(codec), dtype, fraction);
}

void RegisterAll() {
  Register("memcpy", BenchMemcpy);
  Register("checksum", BenchChecksum);
  for (DType dtype : kDTypes) {
    for (double fraction : kFractions) {
      for (const Codec* codec : AllCodecs()) {
        if (!codec->Supports(dtype) || codec->needs_peer() || codec->parts() > 1) continue;
        if (codec->needs_base() || fraction == 0) RegisterCodec(*codec, dtype, fraction);
      }
    }
  }
}

}  // namespace
}  // namespace bitsnap

int main(int argc, char** argv) {
  bitsnap::RegisterAll();
  return bitsnap::bench::Run(argc, argv);
}
