// The memory that one state is copied into.
#pragma once

#include <cstdint>

#include <bitsnap/result.h>

#include "base/bytes.h"

namespace bitsnap {

// One mapping of whole pages, which are there already. A child of fork() does not get it: else each
// page written next would be copied.
class Arena {
 public:
  static Result<Arena> Map(uint64_t bytes);
  Arena() = default;  // of no bytes
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();

  MutableBytes bytes() const { return bytes_; }

 private:
  explicit Arena(MutableBytes bytes) : bytes_(bytes) {}
  MutableBytes bytes_;
};

// Whole pages that hold `bytes`.
uint64_t RoundUpToPages(uint64_t bytes);

}  // namespace bitsnap
