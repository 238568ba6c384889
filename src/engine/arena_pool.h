// Arenas within a bound on what they take together.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "engine/arena.h"

namespace bitsnap {

// Keeps arenas that were given back for the next state: the faults of touching new pages cost more
// than the copy. One thread at a time.
class ArenaPool {
 public:
  // 0: twice the largest arena asked for so far.
  explicit ArenaPool(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // An arena of at least `bytes`; nullopt while the bound does not allow it, which it may once
  // arenas are given back. kInvalidArgument when it never will.
  Result<std::optional<Arena>> Take(uint64_t bytes);
  void GiveBack(Arena arena) { free_.push_back(std::move(arena)); }
  // Unmaps what is not in use.
  void Clear();

 private:
  uint64_t limit() const { return max_bytes_ != 0 ? max_bytes_ : 2 * largest_; }
  void DropFree(size_t index);

  const uint64_t max_bytes_;
  uint64_t largest_ = 0;
  uint64_t mapped_ = 0;  // bytes of all arenas, lent or free; at most limit()
  std::vector<Arena> free_;
};

}  // namespace bitsnap
