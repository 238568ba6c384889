// Which steps of a store descend from one another, and which line is the current one
// (docs/store.md, "Lines of descent").
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <bitsnap/lineage.h>

namespace bitsnap {

// Where the save of a step comes from.
struct StepOrigin {
  uint64_t step = 0;
  uint64_t save_id = 0;
  std::optional<Lineage> lineage;  // absent: no file of the step can be read
  // The order of the run that left the step behind, as the step's folder says.
  std::optional<uint64_t> left_behind;
};

struct Descent {
  // The whole step of the highest order, and among these the one of the highest number: the current
  // line is its own. Positions in the list that was given.
  std::optional<size_t> head;
  std::vector<bool> is_abandoned;  // left behind by the current line
};

// `is_whole` is asked of as few steps as possible.
Descent FindDescent(std::span<const StepOrigin> steps, const std::function<bool(size_t)>& is_whole);

// What a save comes after.
struct Predecessor {
  uint64_t step = 0;
  uint64_t save_id = 0;
  Lineage lineage;
  bool is_restored = false;  // else the same process saved it
  // Newer steps were there, and restoring them failed.
  bool passed_over_newer = false;
};

}  // namespace bitsnap
