#include "codec/entropy/huffman_ref.h"

#include <algorithm>
#include <map>
#include <utility>

namespace bitsnap::huffman {
namespace {

using Buffer = std::vector<std::byte>;
using CodeWord = std::pair<unsigned, unsigned>;  // bits, value

// Bits that fill bytes from the highest down or, unless `high_first`, from the lowest up.
class Bitstring {
 public:
  explicit Bitstring(bool high_first) : high_first_(high_first) {}
  void Add(unsigned bit) {
    const size_t at = count_++ % 8;
    if (at == 0) bytes.push_back(std::byte{0});
    bytes.back() |= static_cast<std::byte>(bit << (high_first_ ? 7 - at : at));
  }
  Buffer bytes;

 private:
  bool high_first_;
  size_t count_ = 0;
};

void AddNibble(Bitstring& out, size_t value) {
  for (int i = 0; i < 4; ++i) out.Add(value >> i & 1);
}

Buffer Description(const std::array<uint8_t, 256>& bits) {
  Bitstring out(false);
  size_t last = 255;
  while (bits[last] == 0) --last;
  for (size_t s = 0; s <= last;) {
    AddNibble(out, bits[s]);
    if (bits[s++] > 0) continue;
    size_t more = 0;
    for (; bits[s] == 0; ++s) ++more;
    AddNibble(out, more % 16);
    AddNibble(out, more / 16);
  }
  return out.bytes;
}

void Append(Buffer& to, const Buffer& from) { to.insert(to.end(), from.begin(), from.end()); }

// The symbols of all codes, by the spec's rule of how codes follow from their bits.
std::map<CodeWord, uint8_t> Symbols(const std::array<uint8_t, 256>& bits) {
  std::map<CodeWord, uint8_t> symbols;
  unsigned value = 0;
  for (unsigned length = kMaxBits; length > 0; --length, value /= 2) {
    for (size_t s = 0; s < 256; ++s) {
      if (bits[s] == length) symbols[{length, value++}] = static_cast<uint8_t>(s);
    }
  }
  return symbols;
}

std::optional<std::array<uint8_t, 256>> ReadDescription(Bytes coded, size_t& at) {
  std::array<uint8_t, 256> bits{};
  size_t nibbles = 0;
  bool ended = false;
  const auto nibble = [&]() -> unsigned {
    if (nibbles / 2 >= coded.size()) ended = true;
    if (ended) return 0;
    const unsigned byte = std::to_integer<unsigned>(coded[nibbles / 2]);
    return byte >> nibbles++ % 2 * 4 & 15;
  };
  unsigned space = 0;
  for (size_t s = 0; space < 2048; ++s) {
    const unsigned b = nibble();
    if (ended || s > 255 || b > kMaxBits) return std::nullopt;
    bits[s] = static_cast<uint8_t>(b);
    if (b > 0) space += 2048 >> b;
    if (b > 0) continue;
    s += nibble();
    s += size_t{16} * nibble();
  }
  if (ended || space > 2048 || (nibbles % 2 == 1 && nibble() != 0)) return std::nullopt;
  at = (nibbles + 1) / 2;
  return bits;
}

// Appends `count` symbols to `out`; false when the stream is not made of just these.
bool DecodeStream(const std::map<CodeWord, uint8_t>& symbols, Bytes stream, size_t count,
                  Buffer& out) {
  size_t at = 0;
  const auto bit = [&] { return std::to_integer<unsigned>(stream[at / 8]) >> (7 - at % 8) & 1; };
  for (; count > 0; --count) {
    CodeWord word{0, 0};
    do {
      if (at == 8 * stream.size()) return false;
      word = {word.first + 1, 2 * word.second + bit()};
      ++at;
    } while (!symbols.contains(word));
    out.push_back(std::byte{symbols.at(word)});
  }
  if (8 * stream.size() - at > 7) return false;
  for (; at < 8 * stream.size(); ++at) {
    if (bit() != 0) return false;
  }
  return true;
}

}  // namespace

Buffer EncodeRef(const Code& code, Bytes symbols) {
  Buffer out = Description(code.bits), streams;
  const size_t each = (symbols.size() + 3) / 4;
  for (size_t k = 0; k < 4; ++k) {
    Bitstring stream(true);
    for (size_t i = k * each; i < std::min((k + 1) * each, symbols.size()); ++i) {
      const auto s = std::to_integer<size_t>(symbols[i]);
      for (unsigned b = code.bits[s]; b-- > 0;) stream.Add(code.values[s] >> b & 1);
    }
    Append(streams, stream.bytes);
    for (size_t b = 0; k < 3 && b < 4; ++b) {
      out.push_back(static_cast<std::byte>(stream.bytes.size() >> 8 * b));
    }
  }
  Append(out, streams);
  return out;
}

std::optional<Buffer> DecodeRef(Bytes coded, size_t symbols) {
  size_t at = 0;
  const auto bits = ReadDescription(coded, at);
  if (!bits || coded.size() - at < 12) return std::nullopt;
  std::array<size_t, 4> sizes{};
  size_t left = coded.size() - at - 12;
  for (size_t k = 0; k < 3; ++k, at += 4) {
    for (size_t b = 0; b < 4; ++b) sizes[k] |= std::to_integer<size_t>(coded[at + b]) << 8 * b;
    if (sizes[k] > left) return std::nullopt;
    left -= sizes[k];
  }
  sizes[3] = left;
  Buffer out;
  const size_t each = (symbols + 3) / 4;
  for (size_t k = 0; k < 4; at += sizes[k++]) {
    const size_t begin = std::min(k * each, symbols), end = std::min(begin + each, symbols);
    if (!DecodeStream(Symbols(*bits), coded.subspan(at, sizes[k]), end - begin, out)) {
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace bitsnap::huffman
