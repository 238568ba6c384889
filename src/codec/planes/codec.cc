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

  std::optional<size_t> Encode(const BlockContext& context, Bytes raw, size_t limit,
                               MutableBytes out, Scratch& scratch) const override {
    const size_t word = WordBytes(context.dtype);
    const size_t words = raw.size() / word;
    const MutableBytes planes = scratch.Get(kPlanesSlot, raw.size());
    planes::Split(word, IsRotated(context.dtype), raw, planes);

    std::array<PlaneKind, planes::kMaxWordBytes> kinds;
    size_t estimate = 0;
    for (size_t k = 0; k < word; ++k) {
      const PlanePlan plan = PlanPlane(planes.subspan(k * words, words));
      kinds[k] = plan.kind;
      estimate += plan.bytes;
    }
    if (estimate >= limit) return std::nullopt;

    PlaneWriter writer(out);
    for (size_t k = 0; k < word; ++k) writer.Write(kinds[k], planes.subspan(k * words, words));
    if (writer.size() >= limit) return std::nullopt;
    return writer.size();
  }

  Result<void> Decode(const BlockContext& context, Bytes coded, MutableBytes out,
                      Scratch& scratch) const override {
    const size_t word = WordBytes(context.dtype);
    const size_t words = out.size() / word;
    const MutableBytes buffer = scratch.Get(kPlanesSlot, out.size());
    const MutableBytes work = scratch.Get(kStreamSlot, PlaneWorkBytes(words));
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
    planes::Merge(word, IsRotated(context.dtype), planes, out);
    return {};
  }
};

}  // namespace

const Codec& PlanesCodec() {
  static const Planes codec;
  return codec;
}

}  // namespace bitsnap
