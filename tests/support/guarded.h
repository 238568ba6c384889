#pragma once

#include <cstddef>
#include <vector>

#include "base/bytes.h"

namespace bitsnap::test {

// A buffer whose surroundings tell whether anybody wrote outside it, at an odd address.
class Guarded {
 public:
  explicit Guarded(size_t size) : bytes_(size + 2 * kGuard, kFill), size_(size) {}

  MutableBytes bytes() { return MutableBytes(bytes_).subspan(kGuard, size_); }

  bool intact() const {
    for (size_t i = 0; i < kGuard; ++i) {
      if (bytes_[i] != kFill || bytes_[kGuard + size_ + i] != kFill) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 129;
  static constexpr std::byte kFill{0xa5};
  std::vector<std::byte> bytes_;
  size_t size_;
};

}  // namespace bitsnap::test
