#include "codec/entropy/huffman.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "codec/entropy/kernel_huffman.h"

namespace bitsnap::huffman {
namespace {

using Bits = std::array<uint8_t, 256>;

constexpr size_t kSymbols = 256;
constexpr size_t kSizesBytes = (kStreams - 1) * sizeof(uint32_t);
// Every other symbol has a code, of 1 nibble, and 3 nibbles tell that the next one has none.
constexpr size_t kMaxBitsBytes = kSymbols / 2 * (1 + 3) / 2;

struct Leaf {
  uint32_t count;
  uint8_t symbol;
};

// Those that occur, rarest first.
std::span<const Leaf> SortedLeaves(const Counts& counts, std::array<Leaf, kSymbols>& room) {
  size_t size = 0;
  for (size_t s = 0; s < kSymbols; ++s) {
    if (counts[s] > 0) room[size++] = {counts[s], static_cast<uint8_t>(s)};
  }
  const std::span<Leaf> leaves = std::span(room).first(size);
  std::ranges::sort(leaves, [](const Leaf& a, const Leaf& b) {
    return a.count != b.count ? a.count < b.count : a.symbol < b.symbol;
  });
  return leaves;
}

// Package-merge (Larmore and Hirschberg): level by level, the lightest pairs of the level before
// are merged with the leaves. Remembers which items of each level are leaves.
class PackageMerge {
 public:
  explicit PackageMerge(std::span<const Leaf> leaves) : leaves_(leaves) {
    for (size_t i = 0; i < leaves.size(); ++i) counts_[i] = leaves[i].count;
    counts_[leaves.size()] = kEndless;
    size_t pairs = 0;
    for (auto& level : is_leaf_) pairs = MergeLevel(pairs, level) / 2;
  }

  // Each leaf's bits: how often it is among the first 2 * leaves - 2 items of the last level and,
  // where these are pairs, among what they are made of.
  Bits CodeBits() const {
    Bits bits{};
    size_t items = 2 * leaves_.size() - 2;
    for (size_t level = kMaxBits; level-- > 0 && items > 0;) {
      size_t leaves = 0;
      for (size_t i = 0; i < items; ++i) leaves += is_leaf_[level][i];
      for (size_t i = 0; i < leaves; ++i) ++bits[leaves_[i].symbol];
      items = 2 * (items - leaves);
    }
    return bits;
  }

 private:
  using Level = std::array<bool, 2 * kSymbols>;

  // Without branches, which could not be foretold: behind the last leaf and pair stands more than
  // any weight.
  size_t MergeLevel(size_t pairs, Level& is_leaf) {
    for (size_t pair = 0; pair < pairs; ++pair) {
      pairs_[pair] = merged_[2 * pair] + merged_[2 * pair + 1];
    }
    pairs_[pairs] = kEndless;
    const size_t size = leaves_.size() + pairs;
    size_t leaf = 0, pair = 0;
    for (size_t i = 0; i < size; ++i) {
      const uint64_t count = counts_[leaf], weight = pairs_[pair];
      const bool take = count <= weight;
      is_leaf[i] = take;
      merged_[i] = take ? count : weight;
      leaf += take;
      pair += !take;
    }
    return size;
  }

  static constexpr uint64_t kEndless = std::numeric_limits<uint64_t>::max();

  std::span<const Leaf> leaves_;
  std::array<uint64_t, kSymbols + 1> counts_;  // of the leaves
  std::array<uint64_t, kSymbols> pairs_;
  std::array<uint64_t, 2 * kSymbols> merged_;
  std::array<Level, kMaxBits> is_leaf_;
};

// The longest codes are the smallest numbers; equally long ones ascend with their symbols.
bool AssignValues(Code& code) {
  std::array<uint32_t, kMaxBits + 1> next{};
  for (uint8_t bits : code.bits) ++next[bits];
  uint32_t value = 0;
  for (unsigned bits = kMaxBits; bits > 0; --bits) {
    value += std::exchange(next[bits], value);
    if (value > 256) return false;
    value /= 2;
  }
  for (size_t s = 0; s < kSymbols; ++s) {
    if (code.bits[s] > 0) code.values[s] = static_cast<uint8_t>(next[code.bits[s]]++);
  }
  return true;
}

// Space that a code takes of all sequences of kMaxBits bits. A code is complete when all space is
// taken.
constexpr uint32_t kSpace = 1u << kMaxBits;
uint32_t SpaceOf(unsigned bits) { return kSpace >> bits; }

// Numbers of 4 bits, the first in the lower half of the first byte.
class NibbleWriter {
 public:
  explicit NibbleWriter(std::byte* out) : out_(out) {}
  void Write(size_t value) {
    std::byte& byte = out_[count_ / 2];
    const auto nibble = static_cast<std::byte>(value);
    byte = count_++ % 2 == 0 ? nibble : byte | nibble << 4;
  }
  size_t bytes() const { return (count_ + 1) / 2; }

 private:
  std::byte* out_;
  size_t count_ = 0;
};

class NibbleReader {
 public:
  explicit NibbleReader(ByteReader& in) : in_(in) {}
  // 0 past the end, where in.ok() is false.
  unsigned Read() {
    half_ = !half_;
    if (half_) byte_ = in_.Int<uint8_t>();
    return half_ ? byte_ & 15 : byte_ >> 4;
  }
  // Whether the half that was not read, if there is one, is zero.
  bool ZeroPadded() const { return !half_ || byte_ >> 4 == 0; }

 private:
  ByteReader& in_;
  uint8_t byte_ = 0;
  bool half_ = false;  // the upper half of byte_ comes next
};

// The bits of each symbol's code, up to the last that has one. 0 is the start of a run without: how
// many more there are follows in two nibbles, the lower one first.
size_t WriteBits(const Bits& bits, MutableBytes out) {
  NibbleWriter nibbles(out.data());
  uint32_t space = 0;
  for (size_t s = 0; space < kSpace; ++s) {
    nibbles.Write(bits[s]);
    if (bits[s] > 0) {
      space += SpaceOf(bits[s]);
      continue;
    }
    const size_t first = s;
    while (bits[s + 1] == 0) ++s;
    nibbles.Write((s - first) % 16);
    nibbles.Write((s - first) / 16);
  }
  return nibbles.bytes();
}

// nullopt unless it is a complete code.
std::optional<Bits> ReadBits(ByteReader& in) {
  Bits bits{};
  NibbleReader nibbles(in);
  uint32_t space = 0;
  for (size_t s = 0; space < kSpace; ++s) {
    const unsigned b = nibbles.Read();
    if (!in.ok() || s >= kSymbols || b > kMaxBits) return std::nullopt;
    if (b > 0) {
      bits[s] = static_cast<uint8_t>(b);
      space += SpaceOf(b);
    } else {
      s += nibbles.Read();
      s += size_t{16} * nibbles.Read();
    }
  }
  return space == kSpace && nibbles.ZeroPadded() ? std::optional(bits) : std::nullopt;
}

}  // namespace

std::optional<Code> BuildCode(const Counts& counts) {
  std::array<Leaf, kSymbols> room;
  const std::span<const Leaf> leaves = SortedLeaves(counts, room);
  if (leaves.size() < 2) return std::nullopt;
  Code code{PackageMerge(leaves).CodeBits(), {}};
  return AssignValues(code) ? std::optional(code) : std::nullopt;
}

size_t EstimateCodedBytes(const Code& code, const Counts& sample, size_t symbols) {
  uint64_t bits = 0, sampled = 0;
  size_t distinct = 0;
  for (size_t s = 0; s < kSymbols; ++s) {
    bits += uint64_t{sample[s]} * code.bits[s];
    sampled += sample[s];
    distinct += code.bits[s] > 0;
  }
  return distinct / 2 + kSizesBytes + symbols * bits / sampled / 8;
}

size_t EncodeBound(size_t symbols) {
  return kMaxBitsBytes + kSizesBytes + (symbols * kMaxBits + 7) / 8 + kStreams + kEncodeSlack;
}

size_t Encode(const Code& code, Bytes symbols, MutableBytes out) {
  const size_t sizes_at = WriteBits(code.bits, out);
  const size_t streams_at = sizes_at + kSizesBytes;
  const StreamSizes sizes = EncodeStreams(code, symbols, &out[streams_at]);
  for (size_t k = 0; k + 1 < kStreams; ++k) {
    const auto size = static_cast<uint32_t>(sizes[k]);
    std::memcpy(&out[sizes_at + k * sizeof(size)], &size, sizeof(size));
  }
  return std::accumulate(sizes.begin(), sizes.end(), streams_at);
}

bool Decode(Bytes coded, MutableBytes symbols) {
  ByteReader in(coded);
  const auto bits = ReadBits(in);
  if (!bits) return false;
  std::array<uint32_t, kStreams - 1> sizes;
  for (uint32_t& size : sizes) size = in.Int<uint32_t>();
  StreamBytes streams;
  for (size_t k = 0; k + 1 < kStreams; ++k) streams[k] = in.Raw(sizes[k]);
  streams.back() = in.Raw(in.remaining());
  return in.ok() && DecodeStreams(*bits, streams, symbols);
}

}  // namespace bitsnap::huffman
