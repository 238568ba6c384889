#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/bytes.h"

namespace bitsnap::test {

// A buffer whose surroundings tell whether anybody wrote outside it, at an odd address. Reset keeps
// the memory and what it holds: codecs ask for large buffers, and new ones would cost most of the
// tests' time.
class Guarded {
 public:
  MutableBytes Reset(size_t size) {
    size_ = size;
    if (bytes_.size() < size + 2 * kGuard) bytes_.resize(size + 2 * kGuard, std::byte{0x11});
    std::fill_n(bytes_.begin(), kGuard, kFill);
    std::fill_n(bytes_.begin() + kGuard + size, kGuard, kFill);
    return bytes();
  }

  MutableBytes bytes() { return MutableBytes(bytes_).subspan(kGuard, size_); }

  bool intact() const {
    const auto intact_from = [this](size_t at) {
      return std::count(bytes_.begin() + at, bytes_.begin() + at + kGuard, kFill) == kGuard;
    };
    return intact_from(0) && intact_from(kGuard + size_);
  }

 private:
  static constexpr ptrdiff_t kGuard = 129;
  static constexpr std::byte kFill{0xa5};
  std::vector<std::byte> bytes_;
  size_t size_ = 0;
};

}  // namespace bitsnap::test
