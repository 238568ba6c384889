#include "codec/entropy/plane.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "codec/entropy/estimate.h"
#include "codec/entropy/rans.h"

namespace bitsnap {
namespace {

// Bytes before a plane's content: its kind, and the length of a rANS stream.
constexpr size_t kKindBytes = 1;
constexpr size_t kLengthBytes = sizeof(uint32_t);

bool IsConstant(Bytes plane) {
  return std::memcmp(plane.data(), plane.data() + 1, plane.size() - 1) == 0;
}

}  // namespace

PlanePlan PlanPlane(Bytes plane) {
  if (IsConstant(plane)) return {PlaneKind::kConstant, kKindBytes + 1};
  const PlanePlan raw{PlaneKind::kRaw, kKindBytes + plane.size()};
  if (plane.size() < rans::kMinSymbols) return raw;
  // A gain of a few bytes in a thousand is not worth the time.
  const size_t coded = kLengthBytes + rans::EstimateCodedBytes(plane);
  if (coded >= plane.size() - plane.size() / 64) return raw;
  return {PlaneKind::kRans, kKindBytes + coded};
}

size_t PlaneBound(size_t bytes) { return kKindBytes + kLengthBytes + rans::EncodeBound(bytes); }

void PlaneWriter::Write(PlaneKind kind, Bytes plane) {
  if (kind == PlaneKind::kRans && WriteRans(plane)) return;
  Byte(kind == PlaneKind::kConstant ? kind : PlaneKind::kRaw);
  const Bytes content = kind == PlaneKind::kConstant ? plane.first(1) : plane;
  std::ranges::copy(content, out_.begin() + size_);
  size_ += content.size();
}

bool PlaneWriter::WriteRans(Bytes plane) {
  const MutableBytes stream = out_.subspan(size_ + kKindBytes + kLengthBytes);
  const std::optional<size_t> bytes = rans::Encode(plane, stream);
  if (!bytes) return false;
  Byte(PlaneKind::kRans);
  const auto length = static_cast<uint32_t>(*bytes);
  std::memcpy(&out_[size_], &length, kLengthBytes);
  size_ += kLengthBytes + *bytes;
  return true;
}

size_t PlaneWorkBytes(size_t bytes) { return bytes + rans::kDecodePadding; }

const std::byte* ReadPlane(ByteReader& reader, MutableBytes buffer, MutableBytes work) {
  const auto kind = static_cast<PlaneKind>(reader.Int<uint8_t>());
  switch (kind) {
    case PlaneKind::kRaw:
      return reader.Raw(buffer.size()).data();
    case PlaneKind::kConstant:
      std::ranges::fill(buffer, static_cast<std::byte>(reader.Int<uint8_t>()));
      return buffer.data();
    case PlaneKind::kRans: {
      const Bytes stream = reader.Raw(reader.Int<uint32_t>());
      if (stream.size() >= buffer.size()) return nullptr;  // would have been stored raw
      return rans::Decode(stream, buffer, work) ? buffer.data() : nullptr;
    }
  }
  return nullptr;
}

}  // namespace bitsnap
