// Which parts of a tensor stand for all of it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitsnap::adam {

// The r-th of `count` runs of a sample, by number among the `runs` of the tensor: one of each of
// `count` equal parts, at a place that looks random, so that no period of the tensor, such as its
// rows, falls into step with the sample. Requires: r < count <= runs.
inline uint64_t SampledRun(uint64_t runs, size_t r, size_t count) {
  const uint64_t begin = runs * r / count, end = runs * (r + 1) / count;
  const uint64_t mixed = (r + 1) * 0x9e3779b97f4a7c15u;  // Knuth's multiplicative hash
  return begin + (mixed >> 32) % (end - begin);
}

}  // namespace bitsnap::adam
