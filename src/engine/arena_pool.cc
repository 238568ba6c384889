#include "engine/arena_pool.h"

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {

Result<std::optional<Arena>> ArenaPool::Take(uint64_t bytes) {
  bytes = RoundUpToPages(bytes);
  largest_ = std::max(largest_, bytes);
  if (bytes > limit()) {
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
  while (!free_.empty() && mapped_ + bytes > limit()) DropFree(free_.size() - 1);
  if (mapped_ + bytes > limit()) return std::nullopt;
  BITSNAP_ASSIGN(Arena arena, map_(bytes));
  mapped_ += arena.bytes().size();
  return arena;
}

void ArenaPool::Clear() {
  while (!free_.empty()) DropFree(free_.size() - 1);
}

void ArenaPool::DropFree(size_t index) {
  mapped_ -= free_[index].bytes().size();
  free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(index));
}

}  // namespace bitsnap
