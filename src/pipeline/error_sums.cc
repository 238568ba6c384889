#include "pipeline/error_sums.h"

#include <algorithm>

#include "pipeline/kernel_error.h"

namespace bitsnap {
namespace {

// After so many values, to sums of twice the precision.
constexpr size_t kTileBytes = 4096 * sizeof(float);

ErrorSums Sum(const LaneSums& lanes) {
  ErrorSums sums;
  for (size_t lane = 0; lane < kErrorLanes; ++lane) {
    sums.Add({lanes.values[lane],
              lanes.nonzero[lane],
              lanes.squared[lane],
              double{lanes.relative[lane]},
              double{lanes.largest[lane]},
              {}});
  }
  return sums;
}

}  // namespace

void ErrorSums::Add(const ErrorSums& other) {
  values += other.values;
  nonzero += other.nonzero;
  squared += other.squared;
  relative += other.relative;
  largest = std::max(largest, other.largest);
  update.Add(other.update);
}

ErrorSums MeasureError(Bytes original, Bytes decoded) {
  ErrorSums sums;
  for (size_t first = 0; first < original.size(); first += kTileBytes) {
    const size_t bytes = std::min(kTileBytes, original.size() - first);
    LaneSums lanes;
    SumErrors(original.subspan(first, bytes), decoded.subspan(first, bytes), lanes);
    sums.Add(Sum(lanes));
  }
  return sums;
}

std::vector<Metric> ToMetrics(const ErrorSums& sums) {
  const auto mean = [](double sum, uint64_t count) {
    return count == 0 ? 0 : sum / static_cast<double>(count);
  };
  return {{"mse", mean(sums.squared, sums.values)},
          {"mean_relative", mean(sums.relative, sums.nonzero)},
          {"largest", sums.largest}};
}

std::vector<Metric> ToMetrics(const UpdateSums& sums) {
  return {{"update_error", RelativeError(sums)}, {"update_length", RelativeLength(sums)}};
}

}  // namespace bitsnap
