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

// In one of two forms, or none.
struct Base {
  const Pair* decoded = nullptr;
  const Coded* coded = nullptr;

  const Codec& codec() const { return coded != nullptr ? AdamDeltaCodec() : AdamCodec(); }
};

// Calls body(context, raw) for each block; the context views what lives until body returns.
template <class Body>
void ForBlocks(const Pair& pair, const Base& base, Bytes params, Body body) {
  for (size_t first = 0; first < pair.size(); first += kBlockPairs) {
    const size_t count = std::min(kBlockPairs, pair.size() - first);
    const auto raw = Gather(pair, first, count);
    std::vector<std::byte> old;
    BlockContext context;
    if (base.decoded != nullptr) {
      old = Gather(*base.decoded, first, count);
      context.base = BytesOf(MomentsIn(Bytes(old)));
    }
    if (base.coded != nullptr) {
      const Bytes payload = base.coded->blocks[first / kBlockPairs];
      const CodecId codec = payload.size() < raw.size() ? CodecId::kAdam : CodecId::kRaw;
      context.coded_base = {codec, base.coded->params, payload, raw.size()};
    }
    context.params = params;
    context.first_word = first;
    body(context, raw, first, count);
  }
}

std::optional<Coded> EncodeWith(const Base& base, const Pair& pair, double bound, double eps) {
  const Codec& codec = base.codec();
  UnitContext unit{.parts = {{DType::kF32, pair.v_bytes()}, {DType::kF32, pair.m_bytes()}},
                   .row_words = pair.row_words,
                   .accepted = {.update_error = bound, .eps = eps}};
  if (base.coded != nullptr) unit.base_params = base.coded->params;
  const auto prepared = codec.Prepare(unit);
  if (!prepared) return std::nullopt;
  Coded coded{.params = prepared->params, .advice = prepared->advice};
  UpdateSums sums;
  Scratch scratch;
  ForBlocks(pair, base, coded.params, [&](BlockContext context, Bytes raw, size_t, size_t) {
    context.advice = coded.advice;
    std::vector<std::byte> out(codec.EncodeBound(raw.size()));
    std::vector<std::byte> told(raw.size()), decoded(raw.size());
    const auto block = codec.Encode(context, MomentsIn(raw), raw.size(), out,
                                    MomentsIn(MutableBytes(told)), scratch);
    if (block) {
      EXPECT_TRUE(codec.Decode(context, Bytes(out).first(block->bytes),
                               MomentsIn(MutableBytes(decoded)), scratch));
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

Pair DecodeWith(const Base& base, const Coded& coded, const Pair& shape) {
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
      const auto done = base.codec().Decode(context, bytes, MomentsIn(MutableBytes(out)), scratch);
      ASSERT_TRUE(done) << done.error().message;
    }
    std::memcpy(&decoded.v[first], out.data(), count * sizeof(float));
    std::memcpy(&decoded.m[first], out.data() + out.size() / 2, count * sizeof(float));
  };
  ForBlocks(shape, base, coded.params, decode);
  return decoded;
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

Pair Map(Pair pair, const std::function<void(size_t, float&, float&)>& change) {
  for (size_t i = 0; i < pair.size(); ++i) change(i, pair.v[i], pair.m[i]);
  return pair;
}

Pair Flat(Pair pair) {
  pair.row_words = pair.size();
  return pair;
}

std::span<const Named> Tensors() {
  static const Named tensors[] = {
      {"trained", [] { return Trained(300, 200, 1); }},
      {"trained, flat", [] { return Flat(Trained(100, 777, 2)); }},
      {"trained, several blocks", [] { return Trained(160, 1024, 3); }},
      {"one element", [] { return Trained(1, 1, 4); }},
      {"three elements", [] { return Trained(1, 3, 5); }},
      {"narrow", [] { return Trained(5000, 3, 6); }},
      {"constant rows",
       [] {
         return Map(Trained(64, 256, 7), [](size_t i, float& v, float& m) {
           v = 1e-8f * static_cast<float>(1 + i / 256);
           m = 1e-5f * static_cast<float>(i / 256);
         });
       }},
      {"all the same",
       [] {
         return Map(Trained(64, 64, 8), [](size_t, float& v, float& m) {
           v = 3e-9f;
           m = 1e-6f;
         });
       }},
      {"v over 60 orders of magnitude",
       [] {
         std::mt19937 random(9);
         return Map(Trained(100, 300, 9), [&](size_t, float& v, float& m) {
           const float scale = std::exp2(static_cast<float>(random() % 200) - 70);
           v *= scale;
           m *= std::sqrt(scale);
         });
       }},
      {"m huge where v is tiny",
       [] {
         return Map(Trained(100, 300, 10), [](size_t i, float& v, float& m) {
           if (i % 37 == 0) v = 1e-35f, m = 1e30f;
         });
       }},
      {"eps above the root of v",
       [] {
         return Map(Trained(100, 300, 11), [](size_t, float& v, float& m) {
           v *= 1e-12f;
           m *= 1e-6f;
         });
       }},
      {"idle: m decayed to almost nothing",
       [] { return Map(Trained(100, 300, 12), [](size_t, float&, float& m) { m *= 1e-15f; }); }},
      {"mostly zeros",
       [] {
         return Map(Trained(512, 256, 13), [](size_t i, float& v, float& m) {
           if (i / 256 % 50 != 0) v = m = 0;
         });
       }},
      {"one pair in a sea of zeros",
       [] {
         return Map(Trained(512, 256, 14), [](size_t i, float& v, float& m) {
           if (i != 70001) v = m = 0;
         });
       }},
      {"m all zero",
       [] { return Map(Trained(100, 100, 15), [](size_t, float&, float& m) { m = 0; }); }},
      {"heavy tails",
       [] {
         std::mt19937 random(16);
         std::cauchy_distribution<float> cauchy;
         return Map(Trained(200, 200, 16), [&](size_t, float&, float& m) { m *= cauchy(random); });
       }},
  };
  return tensors;
}

Pair Garbage(size_t elements, uint32_t seed) {
  std::mt19937 random(seed);
  Pair pair{std::vector<float>(elements), std::vector<float>(elements), elements};
  for (auto* part : {&pair.v, &pair.m}) {
    for (float& value : *part) value = std::bit_cast<float>(static_cast<uint32_t>(random()));
  }
  return pair;
}

double UpdateError(const Pair& pair, const Pair& decoded, double eps) {
  double error2 = 0, norm2 = 0;
  const auto update = [eps](const Pair& p, size_t i) {
    return double{p.m[i]} / (std::sqrt(double{p.v[i]}) + eps);
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

std::optional<Coded> Encode(const Pair& pair, const Pair* base, double bound, double eps) {
  return EncodeWith({.decoded = base}, pair, bound, eps);
}

Pair Decode(const Coded& coded, const Pair& shape, const Pair* base) {
  return DecodeWith({.decoded = base}, coded, shape);
}

std::optional<Coded> EncodeOn(const Coded& base, const Pair& pair, double bound) {
  return EncodeWith({.coded = &base}, pair, bound, kEps);
}

Pair DecodeOn(const Coded& base, const Coded& coded, const Pair& shape) {
  return DecodeWith({.coded = &base}, coded, shape);
}

}  // namespace bitsnap::adam::test
