#include "codec/cluster/quantiles.h"

namespace bitsnap::cluster {
namespace {

// P(0 < Z < z) by the Taylor series of the normal density, integrated term by term. At |z| <= 4 the
// terms have fallen below one unit in the last place well before the 80th, and cancellation costs
// less than 12 bits.
double CentralProbability(double z) {
  constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;
  double power = z;  // (-1)^k z^(2k+1) / (2^k k!)
  double sum = 0;
  for (int k = 0; k < 80; ++k) {
    sum += power / (2 * k + 1);
    power *= -z * z / (2 * (k + 1));
  }
  return kInverseSqrtTwoPi * sum;
}

// The z > 0 with P(0 < Z < z) = probability, by bisection. Requires: 0 < probability <= 127 / 256.
double CentralQuantile(double probability) {
  double low = 0;
  double high = 4;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (CentralProbability(middle) < probability ? low : high) = middle;
  }
  return high;
}

}  // namespace

std::vector<double> NormalQuantiles(size_t count) {
  std::vector<double> quantiles(count - 1);
  // The distribution is symmetric: compute the upper half, mirror it. A median in the middle is 0.
  for (size_t k = count / 2 + 1; k < count; ++k) {
    const double z = CentralQuantile(static_cast<double>(k) / static_cast<double>(count) - 0.5);
    quantiles[k - 1] = z;
    quantiles[count - k - 1] = -z;
  }
  return quantiles;
}

}  // namespace bitsnap::cluster
