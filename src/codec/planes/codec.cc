#include "codec/planes/codec.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/entropy/rans.h"
#include "codec/planes/estimate.h"
#include "codec/planes/kernel.h"

namespace bitsnap {
namespace {

enum class PlaneKind : uint8_t { kRaw = 0, kConstant = 1, kRans = 2 };

// Slots of the scratch.
constexpr size_t kPlanesSlot = 0;

// Bytes before a plane's content: its kind, and the length of a rANS stream.
constexpr size_t kKindBytes = 1;
constexpr size_t kLengthBytes = sizeof(uint32_t);

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

bool IsConstant(Bytes plane) {
  return std::memcmp(plane.data(), plane.data() + 1, plane.size() - 1) == 0;
}

struct PlanePlan {
  PlaneKind kind;
  size_t bytes;  // estimated for kRans, otherwise exact; with its header
};

PlanePlan PlanPlane(Bytes plane) {
  if (IsConstant(plane)) return {PlaneKind::kConstant, kKindBytes + 1};
  const PlanePlan raw{PlaneKind::kRaw, kKindBytes + plane.size()};
  if (plane.size() < rans::kMinSymbols) return raw;
  // A gain of a few bytes in a thousand is not worth the time.
  const size_t coded = kLengthBytes + planes::EstimateCodedBytes(plane);
  if (coded >= plane.size() - plane.size() / 64) return raw;
  return {PlaneKind::kRans, kKindBytes + coded};
}

// Appends planes to the caller's buffer, which holds EncodeBound bytes.
class PlaneWriter {
 public:
  explicit PlaneWriter(MutableBytes out) : out_(out) {}

  void Write(PlaneKind kind, Bytes plane) {
    if (kind == PlaneKind::kRans && WriteRans(plane)) return;
    Byte(kind == PlaneKind::kConstant ? kind : PlaneKind::kRaw);
    const Bytes content = kind == PlaneKind::kConstant ? plane.first(1) : plane;
    std::ranges::copy(content, out_.begin() + size_);
    size_ += content.size();
  }

  size_t size() const { return size_; }

 private:
  void Byte(PlaneKind kind) { out_[size_++] = static_cast<std::byte>(kind); }

  bool WriteRans(Bytes plane) {
    const MutableBytes stream = out_.subspan(size_ + kKindBytes + kLengthBytes);
    const std::optional<size_t> bytes = rans::Encode(plane, stream);
    if (!bytes) return false;
    Byte(PlaneKind::kRans);
    const auto length = static_cast<uint32_t>(*bytes);
    std::memcpy(&out_[size_], &length, kLengthBytes);
    size_ += kLengthBytes + *bytes;
    return true;
  }

  MutableBytes out_;
  size_t size_ = 0;
};

// Where the decoded plane is: in the payload itself if raw, else in `buffer`. Null when malformed.
const std::byte* ReadPlane(ByteReader& reader, MutableBytes buffer) {
  const auto kind = static_cast<PlaneKind>(reader.Int<uint8_t>());
  switch (kind) {
    case PlaneKind::kRaw:
      return reader.Raw(buffer.size()).data();
    case PlaneKind::kConstant:
      std::ranges::fill(buffer, static_cast<std::byte>(reader.Int<uint8_t>()));
      return buffer.data();
    case PlaneKind::kRans: {
      const Bytes stream = reader.Raw(reader.Int<uint32_t>());
      return rans::Decode(stream, buffer) ? buffer.data() : nullptr;
    }
  }
  return nullptr;
}

class Planes final : public Codec {
 public:
  CodecId id() const override { return CodecId::kPlanes; }
  std::string_view name() const override { return "planes"; }
  bool Supports(DType) const override { return true; }

  // Each plane may need the room that rANS asks for; eight planes waste the most.
  size_t EncodeBound(size_t raw_bytes) const override {
    const size_t plane = (raw_bytes + planes::kMaxWordBytes - 1) / planes::kMaxWordBytes;
    return planes::kMaxWordBytes * (kKindBytes + kLengthBytes + rans::EncodeBound(plane));
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
    planes::PlanePointers planes{};
    ByteReader reader(coded);
    for (size_t k = 0; k < word; ++k) {
      planes[k] = ReadPlane(reader, buffer.subspan(k * words, words));
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
