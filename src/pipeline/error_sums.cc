#include "pipeline/error_sums.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace bitsnap {
namespace {

double LoadFloat(Bytes bytes, size_t index) {
  float value;
  std::memcpy(&value, bytes.data() + index * sizeof(value), sizeof(value));
  return value;
}

}  // namespace

void ErrorSums::Add(const ErrorSums& other) {
  values += other.values;
  nonzero += other.nonzero;
  squared += other.squared;
  relative += other.relative;
  largest = std::max(largest, other.largest);
}

ErrorSums MeasureError(Bytes original, Bytes decoded) {
  ErrorSums sums;
  for (size_t i = 0; i < original.size() / sizeof(float); ++i) {
    const double x = LoadFloat(original, i);
    if (!std::isfinite(x)) continue;
    const double error = std::fabs(x - LoadFloat(decoded, i));
    ++sums.values;
    sums.squared += error * error;
    sums.largest = std::max(sums.largest, error);
    if (x != 0) {
      ++sums.nonzero;
      sums.relative += error / std::fabs(x);
    }
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

}  // namespace bitsnap
