#include "codec/entropy/plane.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "codec/entropy/even.h"
#include "codec/entropy/huffman.h"

namespace bitsnap {
namespace {

// Bytes before a plane's content: its kind, and the length of a stream.
constexpr size_t kKindBytes = 1;
constexpr size_t kLengthBytes = sizeof(uint32_t);

bool IsConstant(Bytes plane) {
  return std::memcmp(plane.data(), plane.data() + 1, plane.size() - 1) == 0;
}

// Whether a plane can be stored so at all, whatever its size.
bool Suits(PlaneKind kind, Bytes plane) {
  if (kind == PlaneKind::kConstant) return IsConstant(plane);
  return kind != PlaneKind::kEven || even::IsEven(plane);
}

bool HasOneSymbol(const Counts& counts) {
  return std::ranges::count_if(counts, [](uint32_t count) { return count > 0; }) == 1;
}

bool HasEvenSymbolsOnly(const Counts& counts) {
  uint32_t odd = 0;
  for (size_t s = 1; s < counts.size(); s += 2) odd += counts[s];
  return odd == 0;
}

}  // namespace

PlanePlan PlanPlane(const Counts& sample, size_t bytes) {
  if (HasOneSymbol(sample)) return {PlaneKind::kConstant, kKindBytes + 1};
  if (bytes < rans::kMinSymbols) return {PlaneKind::kRaw, kKindBytes + bytes};
  PlanePlan plan{PlaneKind::kRaw, kKindBytes + bytes};
  if (HasEvenSymbolsOnly(sample)) plan = {PlaneKind::kEven, kKindBytes + even::PackedBytes(bytes)};
  // A gain of a few bytes in a thousand is not worth the time.
  const size_t coded = kKindBytes + kLengthBytes + EstimateCodedBytes(sample, bytes);
  if (coded < plan.bytes - plan.bytes / 64) plan = {PlaneKind::kHuffman, coded};
  return plan;
}

PlanePlan PlanPlane(Bytes plane) {
  if (IsConstant(plane)) return {PlaneKind::kConstant, kKindBytes + 1};
  const PlanePlan plan = PlanPlane(SampleSymbols(plane), plane.size());
  return Suits(plan.kind, plane) ? plan : PlanPlane(CountSymbols(plane), plane.size());
}

size_t PlaneBound(size_t bytes) {
  return kKindBytes + kLengthBytes +
         std::max(rans::EncodeBound(bytes), huffman::EncodeBound(bytes));
}

void PlaneWriter::Write(PlaneKind kind, Bytes plane) {
  if (!Suits(kind, plane)) kind = PlanPlane(plane).kind;
  switch (kind) {
    case PlaneKind::kConstant:
      Add(kind, 1)[0] = plane[0];
      return;
    case PlaneKind::kEven:
      even::Pack(plane, Add(kind, even::PackedBytes(plane.size())).data());
      return;
    case PlaneKind::kHuffman:
      if (WriteHuffman(plane)) return;
      break;
    case PlaneKind::kRans:
      if (WriteRans(plane)) return;
      break;
    case PlaneKind::kRaw:
      break;
  }
  std::ranges::copy(plane, AddRaw(plane.size()).begin());
}

MutableBytes PlaneWriter::AddRaw(size_t bytes) { return Add(PlaneKind::kRaw, bytes); }

MutableBytes PlaneWriter::Add(PlaneKind kind, size_t bytes) {
  out_[size_] = static_cast<std::byte>(kind);
  size_ += kKindBytes + bytes;
  return out_.subspan(size_ - bytes, bytes);
}

bool PlaneWriter::WriteHuffman(Bytes plane) {
  Counts counts = SampleSymbols(plane);
  const size_t rans = EstimateCodedBytes(counts, plane.size());
  huffman::CountUnseen(plane, counts);
  const auto code = huffman::BuildCode(counts);
  if (!code || huffman::EstimateCodedBytes(*code, counts, plane.size()) > rans + rans / 24) {
    return WriteRans(plane);
  }
  return AddStream(PlaneKind::kHuffman, huffman::Encode(*code, plane, StreamRoom()), plane);
}

bool PlaneWriter::WriteRans(Bytes plane) {
  const std::optional<size_t> bytes = rans::Encode(plane, StreamRoom());
  return bytes && AddStream(PlaneKind::kRans, *bytes, plane);
}

MutableBytes PlaneWriter::StreamRoom() const {
  return out_.subspan(size_ + kKindBytes + kLengthBytes);
}

bool PlaneWriter::AddStream(PlaneKind kind, size_t bytes, Bytes plane) {
  if (bytes >= plane.size()) return false;
  const auto length = static_cast<uint32_t>(bytes);
  std::memcpy(Add(kind, kLengthBytes + bytes).data(), &length, kLengthBytes);
  return true;
}

const std::byte* ReadPlane(ByteReader& reader, MutableBytes buffer, MutableBytes work) {
  const auto kind = static_cast<PlaneKind>(reader.Int<uint8_t>());
  switch (kind) {
    case PlaneKind::kRaw:
      return reader.Raw(buffer.size()).data();
    case PlaneKind::kConstant:
      std::ranges::fill(buffer, static_cast<std::byte>(reader.Int<uint8_t>()));
      return buffer.data();
    case PlaneKind::kEven: {
      const Bytes packed = reader.Raw(even::PackedBytes(buffer.size()));
      return reader.ok() && even::Unpack(packed, buffer) ? buffer.data() : nullptr;
    }
    case PlaneKind::kRans:
    case PlaneKind::kHuffman: {
      const Bytes stream = reader.Raw(reader.Int<uint32_t>());
      if (stream.size() >= buffer.size()) return nullptr;  // would have been stored raw
      const bool decoded = kind == PlaneKind::kRans ? rans::Decode(stream, buffer, work)
                                                    : huffman::Decode(stream, buffer);
      return decoded ? buffer.data() : nullptr;
    }
  }
  return nullptr;
}

}  // namespace bitsnap
