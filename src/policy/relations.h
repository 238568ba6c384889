// Which tensors belong together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <bitsnap/tensor.h>

namespace bitsnap {

// Of one tensor, by the numbers of others.
struct Relations {
  std::optional<uint32_t> weight;   // of a master: its 16-bit weight
  std::optional<uint32_t> exp_avg;  // of an exp_avg_sq: the other of Adam's two moments
};

// Finds them by group and role, where dtypes and shapes fit and nothing is ambiguous: a group with
// two weights has none that belongs to a master. Requires: roles present.
std::vector<Relations> FindRelations(std::span<const TensorInfo* const> tensors);

}  // namespace bitsnap
