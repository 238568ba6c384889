// What Prepare tries grids on: a part of the pair, or all of it where it is small.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "codec/adam/params.h"

namespace bitsnap::adam {

class Sample {
 public:
  // About `wanted` pairs at most, in runs of 64: see SampledRun.
  Sample(Bytes v, Bytes m, float eps, size_t wanted);

  size_t size() const { return logs_.size(); }
  std::span<const int16_t> logs() const { return logs_; }  // of LogV, kNoLog where there is none
  static constexpr int16_t kNoLog = -32768;

  // The anchors that all later trials go by.
  void SetAnchors(const Params& params);
  std::span<const float> anchors() const { return anchors_; }

  // Of u = m / (sqrt(v) + eps).
  double UpdateRms() const;
  UpdateSums Measure(const Grid& grid, Stretch stretch) const;

  // Estimated, a pair.
  double Bits(const Grid& grid, Stretch stretch) const;

 private:
  float eps_;
  std::vector<uint64_t> runs_;  // first element of each
  std::vector<std::byte> v_;
  std::vector<std::byte> m_;
  std::vector<int16_t> logs_;
  std::vector<float> anchors_;
};

}  // namespace bitsnap::adam
