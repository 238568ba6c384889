// The codecs `adam` and `adam_delta` on real checkpoints: bits a pair, error and speed, one thread,
// for each bound.
//   adam_bench FILE.safetensors [BASE.safetensors] [BOUND …]
// With a base, that is first coded by itself within the same bound, and FILE's blocks lean on its
// indices, as those of a snapshot do.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <map>
#include <string>
#include <vector>

#include <bitsnap/safetensors.h>

#include "codec/adam/codec.h"

namespace bitsnap {
namespace {

using Buffer = std::vector<std::byte>;

struct Pair {
  Buffer v, m;
  uint64_t row_words;
};
using Pairs = std::map<std::string, Pair>;

Pairs Load(const char* path) {
  const auto file = SafetensorsFile::Open(path);
  if (!file) {
    std::fprintf(stderr, "%s\n", file.error().message.c_str());
    std::exit(1);
  }
  Pairs pairs;
  for (const TensorView& tensor : file->tensors()) {
    const std::string& name = tensor.info.name;
    const auto put = [&](std::string_view suffix, Buffer Pair::*part) {
      if (!name.ends_with(suffix) || tensor.bytes.empty()) return;
      Pair& pair = pairs[name.substr(0, name.size() - suffix.size())];
      (pair.*part).assign(tensor.bytes.begin(), tensor.bytes.end());
      const auto& shape = tensor.info.shape;
      pair.row_words = shape.size() < 2 ? tensor.bytes.size() / 4 : shape.back();
    };
    put(".exp_avg_sq", &Pair::v);
    put(".exp_avg", &Pair::m);
  }
  return pairs;
}

// CPU seconds of this thread: other work on the machine counts less than in wall time.
double Now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double MemcpySpeed() {
  const Buffer from(size_t{64} << 20, std::byte{1});
  Buffer to(from.size());
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const double start = Now();
    std::memcpy(to.data(), from.data(), from.size());
    best = std::max(best, static_cast<double>(from.size()) * 1e-9 / (Now() - start));
  }
  return best;
}

struct Totals {
  double pairs = 0, coded_bytes = 0, lossless_pairs = 0;
  double prepare = 0, encode = 0, decode = 0;  // seconds
  double worst_error = 0, error2 = 0, norm2 = 0;
};

void AddErrors(const Pair& pair, const Pair& decoded, double eps, Totals& totals) {
  double error2 = 0, norm2 = 0;
  const auto at = [](const Buffer& bytes, size_t i) {
    float value;
    std::memcpy(&value, &bytes[i * 4], 4);
    return double{value};
  };
  for (size_t i = 0; i < pair.v.size() / 4; ++i) {
    const double u = at(pair.m, i) / (std::sqrt(at(pair.v, i)) + eps);
    const double w = at(decoded.m, i) / (std::sqrt(at(decoded.v, i)) + eps);
    error2 += (u - w) * (u - w);
    norm2 += u * u;
  }
  totals.worst_error = std::max(totals.worst_error, std::sqrt(error2 / norm2));
  totals.error2 += error2;
  totals.norm2 += norm2;
}

// As a snapshot holds it; no params where the pair is left lossless.
struct Coded {
  Buffer params;
  std::vector<Buffer> blocks;  // of raw bytes where the codec refused
};

// Codes and decodes one pair.
Coded Through(const Pair& pair, const Coded* base, double bound, Totals& totals) {
  constexpr double kEps = 1e-8;
  const Codec& codec = base != nullptr ? AdamDeltaCodec() : AdamCodec();
  const size_t size = pair.v.size();
  totals.pairs += static_cast<double>(size / 4);
  UnitContext unit{.parts = {{DType::kF32, pair.v}, {DType::kF32, pair.m}},
                   .row_words = pair.row_words,
                   .accepted = {.update_error = bound, .eps = kEps}};
  if (base != nullptr) unit.base_params = base->params;
  double start = Now();
  const auto prepared = codec.Prepare(unit);
  totals.prepare += Now() - start;
  if (!prepared) {
    totals.lossless_pairs += static_cast<double>(size / 4);
    return {};
  }
  totals.coded_bytes += static_cast<double>(prepared->params.size());
  Coded result{.params = prepared->params, .blocks = {}};
  Pair decoded{Buffer(size), Buffer(size), pair.row_words};
  static Scratch scratch;
  static Buffer out(codec.EncodeBound(kBlockBytes));
  for (size_t first = 0; first < size; first += kBlockBytes / 2) {
    const size_t part = std::min(kBlockBytes / 2, size - first);
    const Bytes raw_v = Bytes(pair.v).subspan(first, part),
                raw_m = Bytes(pair.m).subspan(first, part);
    BlockContext context;
    if (base != nullptr) {
      const Buffer& payload = base->blocks[result.blocks.size()];
      const CodecId id = payload.size() < 2 * part ? CodecId::kAdam : CodecId::kRaw;
      context.coded_base = {id, base->params, payload, 2 * part};
    }
    context.params = prepared->params;
    context.advice = prepared->advice;
    context.first_word = first / 4;
    start = Now();
    const auto coded = codec.Encode(context, {{DType::kF32, raw_v}, {DType::kF32, raw_m}}, 2 * part,
                                    out, {}, scratch);
    totals.encode += Now() - start;
    Buffer& stored = result.blocks.emplace_back(raw_v.begin(), raw_v.end());
    stored.insert(stored.end(), raw_m.begin(), raw_m.end());
    if (coded) stored.assign(out.begin(), out.begin() + coded->bytes);
    totals.coded_bytes += static_cast<double>(stored.size());
    const MutableBytes v = MutableBytes(decoded.v).subspan(first, part);
    const MutableBytes m = MutableBytes(decoded.m).subspan(first, part);
    if (!coded) {
      std::ranges::copy(raw_v, v.begin());
      std::ranges::copy(raw_m, m.begin());
      continue;
    }
    start = Now();
    const auto done = codec.Decode(context, stored, {{DType::kF32, v}, {DType::kF32, m}}, scratch);
    totals.decode += Now() - start;
    if (!done) std::abort();
  }
  AddErrors(pair, decoded, kEps, totals);
  return result;
}

void Run(const Pairs& pairs, const Pairs* bases, double bound) {
  Totals totals, ignored;
  for (const auto& [name, pair] : pairs) {
    if (bases == nullptr) {
      Through(pair, nullptr, bound, totals);
    } else {
      const Coded base = Through(bases->at(name), nullptr, bound, ignored);
      Through(pair, &base, bound, totals);
    }
  }
  const double bytes = (totals.pairs - totals.lossless_pairs) * 8;
  std::printf("%-8g %6.3f bits  error %.5f worst %.5f  lossless %g of %g  ", bound,
              totals.coded_bytes * 64 / bytes, std::sqrt(totals.error2 / totals.norm2),
              totals.worst_error, totals.lossless_pairs, totals.pairs);
  std::printf("GB/s: prepare %.2f encode %.2f both %.2f decode %.2f\n",
              bytes * 1e-9 / totals.prepare, bytes * 1e-9 / totals.encode,
              bytes * 1e-9 / (totals.prepare + totals.encode), bytes * 1e-9 / totals.decode);
}

}  // namespace
}  // namespace bitsnap

int main(int argc, char** argv) {
  std::vector<const char*> paths;
  std::vector<double> bounds;
  for (int i = 1; i < argc; ++i) {
    char* end;
    const double bound = std::strtod(argv[i], &end);
    if (*end == '\0') bounds.push_back(bound);
    if (*end != '\0') paths.push_back(argv[i]);
  }
  if (paths.empty() || paths.size() > 2) return 2;
  if (bounds.empty()) bounds = {0.0025, 0.012, 0.05, 0.35};
  const auto pairs = bitsnap::Load(paths[0]);
  const auto bases = paths.size() > 1 ? bitsnap::Load(paths[1]) : bitsnap::Pairs{};
  std::printf("memcpy %.2f GB/s\n", bitsnap::MemcpySpeed());
  for (double bound : bounds) bitsnap::Run(pairs, paths.size() > 1 ? &bases : nullptr, bound);
}
