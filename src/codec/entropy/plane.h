// One plane: a run of bytes stored as it is, as one constant, or by rANS, whichever is smallest.
//
// In a payload: the kind (u8), then for kRaw the bytes, for kConstant the one byte, for kRans the
// stream's length (u32) and the stream.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace bitsnap {

enum class PlaneKind : uint8_t { kRaw = 0, kConstant = 1, kRans = 2 };

struct PlanePlan {
  PlaneKind kind;
  size_t bytes;  // estimated for kRans, otherwise exact; with its header
};

// Requires: at least one byte.
PlanePlan PlanPlane(Bytes plane);

// Room that writing a plane of `bytes` bytes needs.
size_t PlaneBound(size_t bytes);

// Appends planes to the caller's buffer, which holds PlaneBound bytes for each of them.
class PlaneWriter {
 public:
  explicit PlaneWriter(MutableBytes out) : out_(out) {}

  // As planned; raw where rANS does not make the plane smaller.
  void Write(PlaneKind kind, Bytes plane);

  size_t size() const { return size_; }

 private:
  void Byte(PlaneKind kind) { out_[size_++] = static_cast<std::byte>(kind); }
  bool WriteRans(Bytes plane);

  MutableBytes out_;
  size_t size_ = 0;
};

// Working memory that reading a plane of `bytes` bytes needs.
size_t PlaneWorkBytes(size_t bytes);

// Where the decoded plane is: in the payload itself if raw, else in `buffer`, whose size is the
// plane's. Null when malformed. Requires: `work` holds PlaneWorkBytes(buffer.size()).
const std::byte* ReadPlane(ByteReader& reader, MutableBytes buffer, MutableBytes work);

}  // namespace bitsnap
