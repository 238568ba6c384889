// Pairs to try the codec on, and the way through it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "codec/adam/codec.h"

namespace bitsnap::adam::test {

struct Pair {
  std::vector<float> v, m;
  uint64_t row_words = 0;

  size_t size() const { return v.size(); }
  Bytes v_bytes() const { return std::as_bytes(std::span(v)); }
  Bytes m_bytes() const { return std::as_bytes(std::span(m)); }
};

inline constexpr double kEps = 1e-8;

// v and m where they stand one behind the other.
inline Parts MomentsIn(Bytes raw) {
  return {{DType::kF32, raw.first(raw.size() / 2)}, {DType::kF32, raw.last(raw.size() / 2)}};
}
inline MutableParts MomentsIn(MutableBytes raw) { return CutLike(MomentsIn(Bytes(raw)), raw); }

// As training leaves them: rows and columns of different gradients, u near normal.
Pair Trained(size_t rows, size_t columns, uint32_t seed);

// The same ten steps later.
Pair Later(const Pair& pair, uint32_t seed);

// With each pair as `change` leaves it.
Pair Map(Pair pair, const std::function<void(size_t, float&, float&)>& change);

// Without rows.
Pair Flat(Pair pair);

struct Named {
  const char* name;
  std::function<Pair()> make;
};

// What training leaves, and what breaks codecs.
std::span<const Named> Tensors();

// Every bit random: memory that nobody wrote.
Pair Garbage(size_t elements, uint32_t seed);

// ||u - u^|| / ||u|| in doubles, where pairs that no Adam update leaves do not count towards ||u||.
double UpdateError(const Pair& pair, const Pair& decoded, double eps = kEps);

struct Coded {
  std::vector<std::byte> params;
  double error = 0, length = 1;  // as measured by the codec
  std::vector<std::byte> advice;
  std::vector<std::vector<std::byte>> blocks;

  size_t bytes() const;
  bool operator==(const Coded&) const = default;
};

// Nullopt where the codec refuses. Blocks that do not become smaller stay raw.
std::optional<Coded> Encode(const Pair& pair, const Pair* base, double bound, double eps = kEps);
Pair Decode(const Coded& coded, const Pair& shape, const Pair* base);

// The same by `adam_delta`, on a base that Encode coded without one.
std::optional<Coded> EncodeOn(const Coded& base, const Pair& pair, double bound);
Pair DecodeOn(const Coded& base, const Coded& coded, const Pair& shape);

}  // namespace bitsnap::adam::test
