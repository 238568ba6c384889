// What coding changes of Adam's updates.
#pragma once

#include <algorithm>
#include <cmath>

namespace bitsnap {

// Sums of (u - u^)^2, u^2 and u u^ over pairs of v and m, all in the same unit; u is the update
// m / (sqrt(v) + eps) before coding and u^ after it. Pairs that are no update of Adam's, and so
// have no place on any grid, do not count. Sums of a tensor's blocks add up to the tensor's.
struct UpdateSums {
  double error2 = 0;
  double norm2 = 0;
  double along = 0;

  void Add(const UpdateSums& other) {
    error2 += other.error2;
    norm2 += other.norm2;
    along += other.along;
  }
};

inline double RelativeError(const UpdateSums& sums) {
  // What is taken off again of single pairs may leave less than nothing.
  return sums.norm2 > 0 ? std::sqrt(std::max(0.0, sums.error2) / sums.norm2) : 0;
}

// How long u^ is along u: 1 where errors are noise alone.
inline double RelativeLength(const UpdateSums& sums) {
  return sums.norm2 > 0 ? sums.along / sums.norm2 : 1;
}

}  // namespace bitsnap
