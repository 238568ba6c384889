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

  // Writes one number after another: quicker for many of them, up to 63 bits each.
  // Requires: numbers[i] < 2^widths[i].
  void WriteEach(const uint64_t* numbers, const uint64_t* widths, size_t count) {
    std::byte* out = out_;  // locals, which no store through `out` can change
    uint64_t pending = pending_, used = used_;
    for (size_t i = 0; i < count; ++i) {
      const uint64_t number = numbers[i], word = pending | number << used;
      std::memcpy(out, &word, sizeof(word));
      const bool full = used + widths[i] >= 64;
      // What did not fit, shifted in two steps as 64 places are too many for one.
      pending = full ? number >> 1 >> (63 - used) : word;
      out += full ? sizeof(word) : 0;
      used = (used + widths[i]) % 64;
    }
    out_ = out;
    pending_ = pending;
    used_ = static_cast<unsigned>(used);
    Write(0, 0);
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
    const uint32_t value = Peek(bits);
    position_ += bits;
    return value;
  }

  // What Read would give, left where it is. Requires: bits <= 32.
  uint32_t Peek(unsigned bits) const {
    const size_t byte = position_ / 8;
    uint64_t window = 0;
    if (byte + sizeof(window) <= bytes_.size()) {
      std::memcpy(&window, &bytes_[byte], sizeof(window));
    } else if (byte < bytes_.size()) {
      std::memcpy(&window, &bytes_[byte], bytes_.size() - byte);
    }
    return static_cast<uint32_t>(window >> position_ % 8 & ((uint64_t{1} << bits) - 1));
  }
  void Skip(unsigned bits) { position_ += bits; }

  // Reads one number after another, of up to 63 bits each.
  void ReadEach(const uint64_t* widths, size_t count, uint64_t* numbers) {
    size_t i = 0;
    if (position_ / 8 + (count + 1) * sizeof(uint64_t) <= bytes_.size()) {
      // Windows of 64 bits hold 57 wherever they begin in a byte.
      const std::byte* const bytes = bytes_.data();
      uint64_t position = position_;
      for (; i < count && widths[i] <= 57; ++i) {
        uint64_t window;
        std::memcpy(&window, bytes + position / 8, sizeof(window));
        numbers[i] = window >> position % 8 & ((uint64_t{1} << widths[i]) - 1);
        position += widths[i];
      }
      position_ = position;
    }
    for (; i < count; ++i) {
      const auto width = static_cast<unsigned>(widths[i]), low = width < 32 ? width : 32;
      numbers[i] = Read(low);
      numbers[i] |= uint64_t{Read(width - low)} << 32;
    }
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
