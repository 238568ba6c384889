// Where the tensors of one state lie in the arena that holds its copy.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <bitsnap/result.h>
#include <bitsnap/tensor.h>

#include "base/bytes.h"

namespace bitsnap {

struct PlacedTensor {
  TensorInfo info;
  uint64_t offset = 0;  // a multiple of 64
  uint64_t bytes = 0;
};

struct Manifest {
  std::vector<PlacedTensor> tensors;  // in the order saved
  uint64_t bytes = 0;                 // of the arena, at least
};

// Tensors one behind the other; those of the same memory lie at the same place.
Manifest Place(std::span<const TensorView> tensors);

// Copies `tensors`, which `manifest` places, with so many threads.
// Requires: arena.size() >= manifest.bytes.
Result<void> CopyInto(std::span<const TensorView> tensors, const Manifest& manifest,
                      MutableBytes arena, unsigned threads);

// The tensors as they lie in `arena`.
// Requires: every tensor of the manifest lies within it.
std::vector<TensorView> ViewsOf(const Manifest& manifest, Bytes arena);

}  // namespace bitsnap
