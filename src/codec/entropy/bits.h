// Bit streams: numbers of up to 32 bits, the first in the lowest bits of the first byte.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace bitsnap {

class BitWriter {
 public:
  // Requires of `out`: room for all bits that will be written and 8 bytes more.
  explicit BitWriter(std::byte* out) : begin_(out), out_(out) {}

  // Requires: bits <= 32, value < 2^bits.
  void Write(uint64_t value, unsigned bits) {
    pending_ |= value << used_;
    used_ += bits;
    std::memcpy(out_, &pending_, sizeof(pending_));
    out_ += used_ / 8;
    pending_ >>= used_ & ~7u;
    used_ %= 8;
  }

  // Bytes written, the last one filled up with zeros.
  size_t size() const { return out_ - begin_ + (used_ > 0); }

 private:
  std::byte* begin_;  // not owned
  std::byte* out_;
  uint64_t pending_ = 0;
  unsigned used_ = 0;  // bits of pending_, below 8 between calls
};

class BitReader {
 public:
  explicit BitReader(Bytes bytes) : bytes_(bytes) {}

  // Past the end come zeros. Requires: bits <= 32.
  uint32_t Read(unsigned bits) {
    const size_t byte = position_ / 8;
    uint64_t window = 0;
    if (byte + sizeof(window) <= bytes_.size()) {
      std::memcpy(&window, &bytes_[byte], sizeof(window));
    } else if (byte < bytes_.size()) {
      std::memcpy(&window, &bytes_[byte], bytes_.size() - byte);
    }
    const auto value = static_cast<uint32_t>(window >> position_ % 8 & ((uint64_t{1} << bits) - 1));
    position_ += bits;
    return value;
  }

  // Bytes read, the last one perhaps in part; more than there are when reading went past the end.
  size_t size() const { return position_ / 8 + (position_ % 8 != 0); }

  // Whether the bits of the last byte that were not read are zero.
  bool ZeroPadded() const {
    const size_t byte = position_ / 8;
    return position_ % 8 == 0 || std::to_integer<unsigned>(bytes_[byte]) >> position_ % 8 == 0;
  }

 private:
  Bytes bytes_;
  uint64_t position_ = 0;  // in bits
};

}  // namespace bitsnap
