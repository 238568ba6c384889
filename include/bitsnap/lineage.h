// Where a save stands among the saves of its store (docs/store.md, "Lines of descent").
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace bitsnap {

// The save that a save came after.
struct ParentSave {
  uint64_t step = 0;
  uint64_t save_id = 0;
  bool operator==(const ParentSave&) const = default;
};

// The steps of another run that a run goes on from: those up to a number.
struct Ancestor {
  uint64_t run = 0;
  uint64_t up_to = 0;
  bool operator==(const Ancestor&) const = default;
};

// A run is a series of saves of which each later one has a higher step. A run that goes back, to an
// older step or to the beginning, is another one.
struct Lineage {
  uint64_t run = 0;    // random; 0: the one run of all saves that do not say theirs
  uint64_t order = 0;  // a run that begins later in a store has a higher one; 0 for run 0
  std::optional<ParentSave> parent;
  std::vector<Ancestor> ancestors;  // the nearest first, each run once; constant in a run

  // Whether this save descends from the save of `run` at `step`; all of its own run do.
  bool Includes(uint64_t other_run, uint64_t step) const {
    if (other_run == run) return true;
    for (const Ancestor& ancestor : ancestors) {
      if (ancestor.run == other_run) return step <= ancestor.up_to;
    }
    return false;
  }

  bool operator==(const Lineage&) const = default;
};

}  // namespace bitsnap
