// One plane: a run of bytes stored as it is, as one constant, by rANS, by a Huffman code, or less
// its lowest bits. planes/spec.md says how.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "codec/entropy/estimate.h"
#include "codec/entropy/rans.h"

namespace bitsnap {

enum class PlaneKind : uint8_t { kRaw = 0, kConstant = 1, kRans = 2, kHuffman = 3, kEven = 4 };

struct PlanePlan {
  PlaneKind kind;
  size_t bytes;  // estimated for kHuffman, otherwise exact; with its header
};

// What suits a plane of `bytes` bytes of which `sample` is a sample: any kind but kRans.
// Requires: some count is not 0.
PlanePlan PlanPlane(const Counts& sample, size_t bytes);

// Requires: at least one byte.
PlanePlan PlanPlane(Bytes plane);

// Room that writing a plane of `bytes` bytes needs.
size_t PlaneBound(size_t bytes);

// Appends planes to the caller's buffer, which holds PlaneBound bytes for each of them.
class PlaneWriter {
 public:
  explicit PlaneWriter(MutableBytes out) : out_(out) {}

  // In the kind that is asked for, with these exceptions: a plane that turns out not to be constant
  // or even is planned anew; kHuffman falls back to kRans where that is much smaller; what does not
  // get smaller is stored raw.
  void Write(PlaneKind kind, Bytes plane);

  // Appends a raw plane; the caller puts its bytes where the result says.
  MutableBytes AddRaw(size_t bytes);

  size_t size() const { return size_; }

 private:
  MutableBytes Add(PlaneKind kind, size_t bytes);
  // False, and nothing is written, when that would not be smaller than the plane.
  bool WriteHuffman(Bytes plane);
  bool WriteRans(Bytes plane);
  // Where a stream is written before AddStream puts its kind and length in front.
  MutableBytes StreamRoom() const;
  bool AddStream(PlaneKind kind, size_t bytes, Bytes plane);

  MutableBytes out_;
  size_t size_ = 0;
};

// Working memory that reading a plane needs, aligned to 4 bytes.
inline constexpr size_t kPlaneWorkBytes = rans::kDecodeWorkBytes;

// Where the decoded plane is: in the payload itself if raw, else in `buffer`, whose size is the
// plane's. Null when malformed. Requires: `work` holds kPlaneWorkBytes.
const std::byte* ReadPlane(ByteReader& reader, MutableBytes buffer, MutableBytes work);

}  // namespace bitsnap
