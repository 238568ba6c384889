#include "pipeline/error_sums.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace bitsnap {
namespace {

// So many sums side by side, so that compilers may use vectors and the bits are the same on every
// CPU; and after so many values, to sums of twice the precision.
constexpr size_t kLanes = 16, kTile = 1024;

template <class T>
T Load(Bytes bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(value), sizeof(value));
  return value;
}

struct LaneSums {
  std::array<uint32_t, kLanes> values{}, nonzero{};
  std::array<double, kLanes> squared{};
  std::array<float, kLanes> relative{}, largest{};

  // Without branches: masks are all ones or none.
  void Add(size_t lane, Bytes original, Bytes decoded, size_t i) {
    const auto magnitude = Load<uint32_t>(original, i) & 0x7fffffffu;
    const uint32_t finite = -uint32_t{magnitude < 0x7f800000u};
    const uint32_t counts = finite & -uint32_t{magnitude > 0};
    const float difference = std::fabs(Load<float>(original, i) - Load<float>(decoded, i));
    const auto error = std::bit_cast<float>(std::bit_cast<uint32_t>(difference) & finite);
    const auto divisor =
        std::bit_cast<float>((magnitude & counts) | (std::bit_cast<uint32_t>(1.0f) & ~counts));
    const float quotient = error / divisor;
    values[lane] -= finite;
    nonzero[lane] -= counts;
    squared[lane] += double{error} * error;
    relative[lane] += std::bit_cast<float>(std::bit_cast<uint32_t>(quotient) & counts);
    largest[lane] = largest[lane] < error ? error : largest[lane];
  }

  ErrorSums Sum() const {
    ErrorSums sums;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sums.Add({values[lane], nonzero[lane], squared[lane], double{relative[lane]},
                double{largest[lane]}});
    }
    return sums;
  }
};

}  // namespace

void ErrorSums::Add(const ErrorSums& other) {
  values += other.values;
  nonzero += other.nonzero;
  squared += other.squared;
  relative += other.relative;
  largest = std::max(largest, other.largest);
}

ErrorSums MeasureError(Bytes original, Bytes decoded) {
  const size_t count = original.size() / sizeof(float);
  ErrorSums sums;
  for (size_t first = 0; first < count; first += kTile) {
    const size_t end = std::min(first + kTile, count);
    LaneSums lanes;
    size_t i = first;
    for (; i + kLanes <= end; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) lanes.Add(lane, original, decoded, i + lane);
    }
    for (; i < end; ++i) lanes.Add(0, original, decoded, i);
    sums.Add(lanes.Sum());
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
