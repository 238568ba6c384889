// What one save codes, and how: tensors in units.
#pragma once

#include <optional>
#include <vector>

#include <bitsnap/tensor.h>

#include "codec/plan.h"

namespace bitsnap {

// Tensors that are coded together: each block holds the same range of all of them. They have as
// many words and any dtypes.
struct Unit {
  std::vector<uint32_t> tensors;       // by their numbers, in the order of the codecs' parts
  std::vector<uint32_t> base_tensors;  // the base's of the same names, dtypes and sizes; or empty
  std::optional<uint32_t> peer;        // the tensor that the codecs lean on, which loses nothing
  UnitPlan plan;
  std::string why_others;                 // why for all tensors but the first, which has plan.why
  std::vector<std::byte> params, advice;  // what the codecs' Prepare gave
  double update_error = 0;                // that a unit of moments may have
  // Coded in its stead where its error is larger: a large unit's grids are chosen on a sample.
  std::vector<Unit> exact;

  bool has_bound() const { return !exact.empty(); }
};

struct EncodeInput {
  std::vector<TensorView> tensors;  // roles present; bytes of the size that dtype and shape say
  // Of each tensor: an earlier one that has the same bytes.
  std::vector<std::optional<uint32_t>> same_as;
  // With every other tensor, each once, by the numbers of their first ones.
  std::vector<Unit> units;
};

}  // namespace bitsnap
