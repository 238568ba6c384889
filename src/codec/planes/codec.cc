#include "codec/planes/codec.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/entropy/plane.h"
#include "codec/planes/kernel.h"

namespace bitsnap {
namespace {

// Slots of the scratch.
constexpr size_t kPlanesSlot = 0;
constexpr size_t kStreamSlot = 1;
constexpr size_t kSampleSlot = 2;

using Plans = std::array<PlanePlan, planes::kMaxWordBytes>;

// Enough to tell what is noise from what is not.
constexpr size_t kSampledWords = 4096;
constexpr size_t kSampledRuns = 64;  // of consecutive words, spread evenly

// For words sampled from a block, and their planes.
size_t SampleBytes(size_t word) { return 2 * kSampledWords * word; }

// Plans all planes from a sample of the words, before any is made.
Plans PlanPlanes(size_t word, bool rotate, Bytes raw, MutableBytes room) {
  const size_t words = raw.size() / word;
  Bytes sample = raw;
  if (words > kSampledWords) {
    const MutableBytes taken = room.first(kSampledWords * word);
    const size_t run = kSampledWords / kSampledRuns * word;
    for (size_t r = 0; r < kSampledRuns; ++r) {
      std::memcpy(&taken[r * run], &raw[r * (words / kSampledRuns) * word], run);
    }
    sample = taken;
  }
  const size_t sampled = sample.size() / word;
  const MutableBytes buffer = room.last(kSampledWords * word);
  planes::MutablePlanePointers planes{};
  for (size_t k = 0; k < word; ++k) planes[k] = &buffer[k * sampled];
  planes::Split(word, rotate, sample, planes);
  Plans plans;
  for (size_t k = 0; k < word; ++k) plans[k] = PlanPlane(CountSymbols({planes[k], sampled}), words);
  return plans;
}

bool IsRotated(DType dtype) {
  switch (dtype) {
    case DType::kF16:
    case DType::kBF16:
    case DType::kF32:
    case DType::kF64:
    case DType::kC64:
    case DType::kC128:
      return true;
    default:
      return false;
  }
}

class Planes final : public Codec {
 public:
  CodecId id() const override { return CodecId::kPlanes; }
  std::string_view name() const override { return "planes"; }
  bool Supports(DType) const override { return true; }

  // Each plane may need the room that rANS asks for; eight planes waste the most.
  size_t EncodeBound(size_t raw_bytes) const override {
    const size_t plane = (raw_bytes + planes::kMaxWordBytes - 1) / planes::kMaxWordBytes;
    return planes::kMaxWordBytes * PlaneBound(plane);
  }

  std::optional<Encoded> Encode(const BlockContext&, const Parts& parts, size_t limit,
                                MutableBytes out, const MutableParts&,
                                Scratch& scratch) const override {
    const auto [dtype, raw] = parts[0];
    const size_t word = WordBytes(dtype);
    const size_t words = raw.size() / word;
    const bool rotate = IsRotated(dtype);
    const auto plans = PlanPlanes(word, rotate, raw, scratch.Get(kSampleSlot, SampleBytes(word)));
    size_t estimate = 0;
    for (size_t k = 0; k < word; ++k) estimate += plans[k].bytes;
    if (estimate >= limit) return std::nullopt;

    // Raw planes before the first other one go where they belong at once.
    const MutableBytes buffer = scratch.Get(kPlanesSlot, raw.size());
    PlaneWriter writer(out);
    planes::MutablePlanePointers planes{};
    size_t direct = 0;
    for (; direct < word && plans[direct].kind == PlaneKind::kRaw; ++direct) {
      planes[direct] = writer.AddRaw(words).data();
    }
    for (size_t k = direct; k < word; ++k) planes[k] = &buffer[k * words];
    planes::Split(word, rotate, raw, planes);
    for (size_t k = direct; k < word; ++k) writer.Write(plans[k].kind, {planes[k], words});
    if (writer.size() >= limit) return std::nullopt;
    return Encoded{writer.size()};
  }

  Result<void> Decode(const BlockContext&, Bytes coded, const MutableParts& parts,
                      Scratch& scratch) const override {
    const auto [dtype, out] = parts[0];
    const size_t word = WordBytes(dtype);
    const size_t words = out.size() / word;
    const MutableBytes buffer = scratch.Get(kPlanesSlot, out.size());
    const MutableBytes work = scratch.Get(kStreamSlot, kPlaneWorkBytes);
    planes::PlanePointers planes{};
    ByteReader reader(coded);
    for (size_t k = 0; k < word; ++k) {
      planes[k] = ReadPlane(reader, buffer.subspan(k * words, words), work);
      if (!reader.ok() || planes[k] == nullptr) {
        return Fail(ErrorKind::kCorrupt, "planes block has a malformed plane");
      }
    }
    if (reader.remaining() != 0) {
      return Fail(ErrorKind::kCorrupt, "planes block goes on past its last plane");
    }
    planes::Merge(word, IsRotated(dtype), planes, out);
    return {};
  }
};

}  // namespace

const Codec& PlanesCodec() {
  static const Planes codec;
  return codec;
}

}  // namespace bitsnap
