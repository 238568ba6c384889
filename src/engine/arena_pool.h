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
  using Map = Result<Arena>(uint64_t bytes);
  // `max_bytes` 0: twice the largest arena taken so far. `map` makes a new one.
  explicit ArenaPool(uint64_t max_bytes, Map* map = Arena::Map)
      : max_bytes_(max_bytes), map_(map) {}

  // An arena of at least `bytes`; nullopt while the bound does not allow it, which it may once
  // arenas are given back. kInvalidArgument when it never will.
  Result<std::optional<Arena>> Take(uint64_t bytes);
  void GiveBack(Arena arena) { free_.push_back(std::move(arena)); }
  // Unmaps what is not in use.
  void Clear();
  // Another bound; arenas in use stay all the same.
  void SetMaxBytes(uint64_t max_bytes) { max_bytes_ = max_bytes; }
  // An arena taken from here is not given back but gone.
  void Forget(const Arena& arena) { mapped_ -= arena.bytes().size(); }
  // Whether no arena is there, lent or free.
  bool is_empty() const { return mapped_ == 0; }
  const std::vector<Arena>& free() const { return free_; }

 private:
  uint64_t LimitFor(uint64_t bytes) const;
  void DropFree(size_t index);

  uint64_t max_bytes_;
  Map* map_;
  uint64_t largest_ = 0;
  uint64_t mapped_ = 0;  // bytes of all arenas, lent or free
  std::vector<Arena> free_;
};

}  // namespace bitsnap
