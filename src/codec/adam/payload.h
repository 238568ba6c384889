// The parts of a payload, as spec.md lists them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "codec/adam/fit.h"
#include "codec/adam/kernel.h"

namespace bitsnap::adam {

inline constexpr size_t kFloat = sizeof(float);

// What stands before a stream's planes: how its indices are predicted and cut.
inline constexpr size_t kPlanBytes = 1 + sizeof(Prediction);

// Pairs that are worked on at a time, a whole number of groups: what they take stays in the
// first-level cache.
inline constexpr size_t kTile = 1024;

inline size_t WholeGroups(size_t elements) { return (elements + kGroup - 1) / kGroup * kGroup; }

class PayloadWriter {
 public:
  explicit PayloadWriter(MutableBytes out) : out_(out) {}

  void Plan(const adam::Plan& plan);
  void Symbols(std::span<const uint8_t> symbols);
  MutableBytes Reserve(size_t bytes);
  void Copy(Bytes bytes) { std::ranges::copy(bytes, Reserve(bytes.size()).begin()); }

  size_t size() const { return size_; }

 private:
  MutableBytes out_;
  size_t size_ = 0;
};

// Views the payload, whose blocks have `elements` pairs.
struct StreamView {
  bool leans() const { return plan.prediction.slope != 0; }
  // From element `first` on.
  PlanesView PlanesFrom(size_t first, size_t elements) const {
    if (plan.shift == 0) return {};
    return {planes.subspan(first / 8), PlaneBytes(elements)};
  }

  Plan plan;
  Bytes planes;
};

struct Streams {
  StreamView v, u;
};

// Reads all but the escapes; kCorrupt where it is malformed.
// Requires: `work` holds kPlaneWorkBytes.
Result<Streams> ReadStreams(ByteReader& reader, MutableBytes work, std::span<uint8_t> symbols);

// Calls body(position) for each pair that either stream escapes.
template <class Body>
void ForEscapes(std::span<const int16_t> kv, std::span<const int16_t> ku, Body body) {
  for (size_t first = 0; first < kv.size(); first += kGroup) {
    const size_t end = std::min(first + kGroup, kv.size());
    int any = 0;  // an integer, so that nothing branches
    for (size_t i = first; i < end; ++i) any |= int{kv[i] == kEscape} | int{ku[i] == kEscape};
    if (any == 0) continue;
    for (size_t i = first; i < end; ++i) {
      if (kv[i] == kEscape || ku[i] == kEscape) body(i);
    }
  }
}

tl::unexpected<Error> CorruptBlock(const char* what);

}  // namespace bitsnap::adam
