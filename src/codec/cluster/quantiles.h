#pragma once

#include <cstddef>
#include <vector>

namespace bitsnap::cluster {

// The z with P(Z < z) = k / count for k = 1 … count - 1, Z standard normal. Computed without the
// mathematics library, whose last bits differ between machines: they steer the encoder, whose bytes
// must be the same everywhere. Requires: 1 <= count <= 256.
std::vector<double> NormalQuantiles(size_t count);

}  // namespace bitsnap::cluster
