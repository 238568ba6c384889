// What lies between appending and writing past the page cache.
#pragma once

#include <cstddef>
#include <memory>

#include "base/bytes.h"

namespace bitsnap {

// Collects bytes into one block of memory that direct I/O takes: address and size are multiples of
// kAlignment. One thread at a time.
class DirectBuffer {
 public:
  static constexpr size_t kAlignment = 4096;  // what disks and file systems ask for, or less
  static constexpr size_t kBytes = size_t{4} << 20;

  // Takes as many of `bytes` as there is room for and returns the rest.
  Bytes Fill(Bytes bytes);
  bool full() const { return used_ == kBytes; }
  Bytes content() const { return {memory_.get(), used_}; }
  void Clear() { used_ = 0; }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Free> memory_;  // allocated when first filled
  size_t used_ = 0;
};

}  // namespace bitsnap
