#include "codec/adam/pairs.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

namespace bitsnap::adam::test {
namespace {

constexpr size_t kBlockPairs = kBlockBytes / 2 / sizeof(float);

std::vector<std::byte> Gather(const Pair& pair, size_t first, size_t count) {
  std::vector<std::byte> raw(2 * count * sizeof(float));
  std::memcpy(raw.data(), &pair.v[first], count * sizeof(float));
  std::memcpy(raw.data() + raw.size() / 2, &pair.m[first], count * sizeof(float));
  return raw;
}

// Calls body(context, raw) for each block; the context views what lives until body returns.
template <class Body>
void ForBlocks(const Pair& pair, const Pair* base, Bytes params, Body body) {
  for (size_t first = 0; first < pair.size(); first += kBlockPairs) {
    const size_t count = std::min(kBlockPairs, pair.size() - first);
    const auto raw = Gather(pair, first, count);
    std::vector<std::byte> old;
    BlockContext context{DType::kF32, raw.size()};
    if (base != nullptr) {
      old = Gather(*base, first, count);
      context.base = old;
    }
    context.params = params;
    context.first_word = first;
    context.row_words = pair.row_words;
    body(context, raw, first, count);
  }
}

}  // namespace

Pair Trained(size_t rows, size_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(rows), column(columns);
  for (float& r : row) r = normal(random);
  for (float& c : column) c = normal(random);
  Pair pair;
  pair.row_words = columns;
  for (size_t i = 0; i < rows * columns; ++i) {
    const float log = -30 + row[i / columns] + column[i % columns] + 0.5f * normal(random);
    pair.v.push_back(std::exp2(log));
    pair.m.push_back(0.23f * normal(random) * std::sqrt(pair.v.back()));
  }
  return pair;
}

Pair Later(const Pair& pair, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Pair later = pair;
  for (size_t i = 0; i < pair.size(); ++i) {
    later.v[i] *= std::exp2(0.3f * normal(random));
    later.m[i] = 0.6f * pair.m[i] + 0.18f * normal(random) * std::sqrt(later.v[i]);
  }
  return later;
}

Pair Garbage(size_t elements, uint32_t seed) {
  std::mt19937 random(seed);
  Pair pair{std::vector<float>(elements), std::vector<float>(elements), elements};
  for (auto* part : {&pair.v, &pair.m}) {
    for (float& value : *part) value = std::bit_cast<float>(static_cast<uint32_t>(random()));
  }
  return pair;
}

double UpdateError(const Pair& pair, const Pair& decoded) {
  double error2 = 0, norm2 = 0;
  const auto update = [](const Pair& p, size_t i) {
    return double{p.m[i]} / (std::sqrt(double{p.v[i]}) + kEps);
  };
  for (size_t i = 0; i < pair.size(); ++i) {
    const double u = update(pair, i);
    const bool ordinary = pair.v[i] >= 0x1p-124f && pair.v[i] < 0x1p126f && std::abs(u) < 4;
    const bool exact = std::memcmp(&pair.v[i], &decoded.v[i], 4) == 0 &&
                       std::memcmp(&pair.m[i], &decoded.m[i], 4) == 0;
    if (ordinary || !exact) norm2 += u * u;
    if (!exact) error2 += (u - update(decoded, i)) * (u - update(decoded, i));
  }
  return norm2 > 0 ? std::sqrt(error2 / norm2) : std::sqrt(error2);
}

size_t Coded::bytes() const {
  size_t sum = params.size();
  for (const auto& block : blocks) sum += block.size();
  return sum;
}

std::optional<Coded> Encode(const Pair& pair, const Pair* base, double bound) {
  const auto prepared = AdamCodec().Prepare({.dtype = DType::kF32,
                                             .first = pair.v_bytes(),
                                             .second = pair.m_bytes(),
                                             .row_words = pair.row_words,
                                             .accepted = {.update_error = bound, .eps = kEps}});
  if (!prepared) return std::nullopt;
  Coded coded{.params = prepared->params, .advice = prepared->advice};
  UpdateSums sums;
  Scratch scratch;
  ForBlocks(pair, base, coded.params, [&](BlockContext context, Bytes raw, size_t, size_t) {
    context.advice = coded.advice;
    std::vector<std::byte> out(AdamCodec().EncodeBound(raw.size()));
    std::vector<std::byte> told(raw.size()), decoded(raw.size());
    const auto block = AdamCodec().EncodeLossy(context, raw, raw.size(), out, told, scratch);
    if (block) {
      EXPECT_TRUE(AdamCodec().Decode(context, Bytes(out).first(block->bytes), decoded, scratch));
      EXPECT_EQ(told, decoded);
      sums.Add(block->update);
    }
    if (block) coded.blocks.emplace_back(out.begin(), out.begin() + block->bytes);
    if (!block) coded.blocks.emplace_back(raw.begin(), raw.end());
  });
  coded.error = RelativeError(sums);
  coded.length = RelativeLength(sums);
  return coded;
}

Pair Decode(const Coded& coded, const Pair& shape, const Pair* base) {
  Pair decoded = shape;
  std::ranges::fill(decoded.v, -1.0f);
  std::ranges::fill(decoded.m, -1.0f);
  Scratch scratch;
  size_t block = 0;
  const auto decode = [&](const BlockContext& context, Bytes raw, size_t first, size_t count) {
    std::vector<std::byte> out(raw.size());
    const auto& bytes = coded.blocks.at(block++);
    if (bytes.size() == raw.size()) {
      out = bytes;
    } else {
      const auto done = AdamCodec().Decode(context, bytes, out, scratch);
      ASSERT_TRUE(done) << done.error().message;
    }
    std::memcpy(&decoded.v[first], out.data(), count * sizeof(float));
    std::memcpy(&decoded.m[first], out.data() + out.size() / 2, count * sizeof(float));
  };
  ForBlocks(shape, base, coded.params, decode);
  return decoded;
}

}  // namespace bitsnap::adam::test
