#include "pipeline/error_sums.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace bitsnap {
namespace {

float LoadFloat(Bytes bytes, size_t index) {
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
  // A fixed number of lanes, so that compilers may use vectors and the sums' bits are the same on
  // every CPU.
  constexpr size_t kLanes = 8;
  std::array<double, kLanes> squared{}, relative{}, largest{};
  std::array<uint32_t, kLanes> values{}, nonzero{};
  const size_t count = original.size() / sizeof(float);
  const auto measure = [&](size_t i, size_t lane) {
    const float x = LoadFloat(original, i);
    const bool finite = std::fabs(x) <= std::numeric_limits<float>::max();
    const float error = finite ? std::fabs(x - LoadFloat(decoded, i)) : 0;
    const float divisor = finite && x != 0 ? std::fabs(x) : 1;
    const bool counts = finite && x != 0;
    values[lane] += finite;
    nonzero[lane] += counts;
    squared[lane] += double{error} * error;
    relative[lane] += counts ? double{error / divisor} : 0;
    largest[lane] = largest[lane] < error ? error : largest[lane];
  };
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) measure(i + lane, lane);
  }
  for (; i < count; ++i) measure(i, 0);
  ErrorSums sums;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    sums.Add({values[lane], nonzero[lane], squared[lane], relative[lane], largest[lane]});
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
