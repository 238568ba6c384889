// What a lossy codec lost, measured from the decoded values. Sums of blocks add up to the tensor's.
#pragma once

#include <cstdint>
#include <vector>

#include <bitsnap/tensor.h>

#include "base/bytes.h"
#include "codec/update_sums.h"

namespace bitsnap {

struct ErrorSums {
  uint64_t values = 0;  // finite in the original; others are kept exactly and do not count
  uint64_t nonzero = 0;
  double squared = 0;   // sum of (x - y)^2
  double relative = 0;  // sum of |x - y| / |x| over x != 0
  double largest = 0;   // of |x - y|
  UpdateSums update;    // of a unit of moments, which has only this

  void Add(const ErrorSums& other);
};

// Summed in order of the values, so that the result has the same bits on every CPU.
// Requires: two spans of equal size, whole fp32 values.
ErrorSums MeasureError(Bytes original, Bytes decoded);

// {"mse"}, {"mean_relative"}: means over the values resp. nonzero values; {"largest"}.
std::vector<Metric> ToMetrics(const ErrorSums& sums);

// {"update_error"}: RelativeError; {"update_length"}: RelativeLength.
std::vector<Metric> ToMetrics(const UpdateSums& sums);

}  // namespace bitsnap
