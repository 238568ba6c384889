#include "engine/arena_pool.h"

#include <limits>

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {

Result<std::optional<Arena>> ArenaPool::Take(uint64_t bytes) {
  bytes = RoundUpToPages(bytes);
  const uint64_t limit = LimitFor(bytes);
  if (bytes > limit) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("a copy of the state takes {} bytes, more than max_memory ({}); raise "
                            "max_memory, or save without the background",
                            bytes, max_bytes_));
  }
  const auto fits = [&](const Arena& arena) { return arena.bytes().size() >= bytes; };
  if (const auto found = std::find_if(free_.begin(), free_.end(), fits); found != free_.end()) {
    Arena arena = std::move(*found);
    free_.erase(found);
    return arena;
  }
  while (!free_.empty() && bytes > limit - std::min(limit, mapped_)) DropFree(free_.size() - 1);
  if (bytes > limit - std::min(limit, mapped_)) return std::nullopt;
  BITSNAP_ASSIGN(Arena arena, map_(bytes));
  mapped_ += arena.bytes().size();
  largest_ = std::max(largest_, bytes);
  return arena;
}

uint64_t ArenaPool::LimitFor(uint64_t bytes) const {
  if (max_bytes_ != 0) return max_bytes_;
  const uint64_t largest = std::max(largest_, bytes);
  return largest + std::min(largest, std::numeric_limits<uint64_t>::max() - largest);
}

void ArenaPool::Clear() {
  while (!free_.empty()) DropFree(free_.size() - 1);
}

void ArenaPool::DropFree(size_t index) {
  mapped_ -= free_[index].bytes().size();
  free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(index));
}

}  // namespace bitsnap
