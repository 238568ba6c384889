// Tensors that are in a save twice.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include <bitsnap/tensor.h>

namespace bitsnap {

// Of each tensor, an earlier one of the same role, dtype and size that it repeats byte for byte
// (tied weights). Requires: roles present.
std::vector<std::optional<uint32_t>> FindRepeats(std::span<const TensorView> tensors);

}  // namespace bitsnap
