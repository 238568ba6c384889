#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "base/checksum.h"
#include "codec/adam/pairs.h"
#include "codec/adam/params.h"
#include "tests/support/simd_targets.h"

namespace bitsnap::adam {
namespace {

using namespace test;  // pairs
using Limits = std::numeric_limits<float>;

constexpr double kBounds[] = {0.0025, 0.012, 0.05, 0.35};

TEST(Adam, ErrorStaysWithinTheBound) {
  for (const Named& tensor : Tensors()) {
    const Pair pair = tensor.make();
    const Pair base = Later(pair, 99);
    for (double bound : kBounds) {
      SCOPED_TRACE(testing::Message() << tensor.name << ", bound " << bound);
      const auto coded = Encode(pair, nullptr, bound);
      ASSERT_TRUE(coded);
      const Pair decoded = Decode(*coded, pair, nullptr);
      EXPECT_LE(UpdateError(pair, decoded), bound * 1.0001);
      EXPECT_LE(UpdateError(pair, decoded), coded->error * 1.001);

      // The base changes how indices are coded, and so which of them do not fit and are kept
      // exactly, and which blocks stay raw, but not the grids.
      const auto delta = Encode(pair, &base, bound);
      ASSERT_TRUE(delta);
      EXPECT_EQ(delta->params, coded->params);
      EXPECT_LE(UpdateError(pair, Decode(*delta, pair, &base)), delta->error * 1.001);
    }
  }
}

// Updates whose squares underflow, and m that is flushed to 0 when it is decoded: what cannot be
// measured is not coded.
TEST(Adam, ErrorStaysWithinTheBoundOfTinyUpdates) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (size_t elements : {3'000u, 200'000u}) {
    for (int log_v : {-120, -110, -80, -60, 20}) {
      for (int log_m : {-60, -84, -90, -118, -124, -125, -126, -130, -140}) {
        Pair pair{.row_words = elements};
        for (size_t i = 0; i < elements; ++i) {
          pair.v.push_back(std::exp2(static_cast<float>(log_v) + 0.5f * normal(random)));
          pair.m.push_back(std::ldexp(normal(random), log_m));
        }
        for (float eps : {0.0f, 1e-20f, 1e-8f}) {
          for (double bound : {0.0025, 0.35}) {
            const auto coded = Encode(pair, nullptr, bound, eps);
            if (!coded || coded->error > bound) continue;  // kept exactly
            SCOPED_TRACE(testing::Message() << "v 2^" << log_v << ", m 2^" << log_m << ", eps "
                                            << eps << ", bound " << bound);
            EXPECT_LE(UpdateError(pair, Decode(*coded, pair, nullptr), eps), bound * 1.0001);
          }
        }
      }
    }
  }
}

// Small tensors whose error a few pairs decide: what is measured must be what is decoded.
TEST(Adam, ErrorStaysWithinTheBoundOfSmallTensors) {
  for (uint32_t seed = 200; seed < 500; ++seed) {
    std::mt19937 random(seed);
    std::cauchy_distribution<float> cauchy;
    const Pair pair = Map(Trained(1, 2000, seed), [&](size_t, float& v, float& m) {
      m *= cauchy(random);
      v *= std::exp2(cauchy(random) / 4);
    });
    for (double bound : kBounds) {
      const auto coded = Encode(pair, nullptr, bound);
      ASSERT_TRUE(coded);
      ASSERT_LE(UpdateError(pair, Decode(*coded, pair, nullptr)), bound * 1.0001) << seed;
    }
  }
}

TEST(Adam, MeasuresTheErrorThatItMakes) {
  const Pair pair = Trained(300, 200, 17);
  for (double bound : kBounds) {
    const auto coded = Encode(pair, nullptr, bound);
    EXPECT_NEAR(UpdateError(pair, Decode(*coded, pair, nullptr)), coded->error, bound * 1e-5);
    EXPECT_GT(coded->error, 0.96 * bound);
    EXPECT_LE(coded->error, bound);
  }
}

// Lossy restores must not change the learning rate: what is lost is noise.
TEST(Adam, KeepsTheLengthOfTheUpdate) {
  const auto update = [](const Pair& p, size_t i) {
    return double{p.m[i]} / (std::sqrt(double{p.v[i]}) + kEps);
  };
  for (uint32_t seed : {18, 19}) {
    const Pair pair = seed == 18 ? Trained(300, 200, seed) : Flat(Trained(64, 256, seed));
    for (double bound : kBounds) {
      SCOPED_TRACE(bound);
      const auto coded = Encode(pair, nullptr, bound);
      const Pair decoded = Decode(*coded, pair, nullptr);
      double along = 0, norm2 = 0;
      for (size_t i = 0; i < pair.size(); ++i) {
        along += update(pair, i) * update(decoded, i);
        norm2 += update(pair, i) * update(pair, i);
      }
      EXPECT_NEAR(along / norm2, 1, 0.01);
      EXPECT_NEAR(along / norm2, coded->length, 0.001);
    }
  }
}

TEST(Adam, SpendsTheBitsThatItShould) {
  const Pair pair = Trained(1024, 256, 20);
  const Pair base = Later(pair, 21);
  // At 0.012: log2 v is normal with a deviation of 0.5 on a grid of 0.085, which takes 4.6 bits; u
  // with one of 0.23 on a grid of 1/150, 7.1 bits.
  const double bits[] = {16.3, 11.8, 7.7, 2.3};
  for (size_t i = 0; i < 4; ++i) {
    SCOPED_TRACE(kBounds[i]);
    const auto coded = Encode(pair, nullptr, kBounds[i]);
    EXPECT_NEAR(static_cast<double>(coded->bytes() * 8) / static_cast<double>(pair.size()), bits[i],
                0.3);
    EXPECT_LT(Encode(pair, &base, kBounds[i])->bytes(), coded->bytes());
  }
}

bool SameBits(float a, float b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

TEST(Adam, KeepsExactlyWhatHasNoLogarithm) {
  const float kNaN = std::bit_cast<float>(0x7fc12345u);
  const float specials[][2] = {{0.0f, 0.0f},
                               {0.0f, 1e-5f},
                               {0.0f, -0.0f},
                               {-0.0f, 0.0f},
                               {-1e-9f, 1e-5f},
                               {kNaN, 1e-5f},
                               {1e-9f, kNaN},
                               {Limits::infinity(), 1},
                               {1e-9f, -Limits::infinity()},
                               {1e-40f, 1e-20f},
                               {Limits::denorm_min(), 0},
                               {Limits::max(), 1},
                               {1e-9f, Limits::max()}};
  Pair pair = Trained(256, 200, 30);
  for (size_t i = 0; i < pair.size(); i += 11) {
    const auto& special = specials[i % std::size(specials)];
    pair.v[i] = special[0];
    pair.m[i] = special[1];
  }
  const Pair base = Later(pair, 31);
  for (double bound : kBounds) {
    const auto coded = Encode(pair, &base, bound);
    ASSERT_TRUE(coded);
    const Pair decoded = Decode(*coded, pair, &base);
    for (size_t i = 0; i < pair.size(); i += 11) {
      EXPECT_TRUE(SameBits(pair.v[i], decoded.v[i]) && SameBits(pair.m[i], decoded.m[i]))
          << pair.v[i] << ", " << pair.m[i] << " came back as " << decoded.v[i] << ", "
          << decoded.m[i];
    }
    EXPECT_LE(UpdateError(pair, decoded), bound * 1.0001);
  }
}

TEST(Adam, ZerosCostNextToNothing) {
  const Pair zeros = Map(Trained(512, 512, 40), [](size_t, float& v, float& m) { v = m = 0; });
  const auto coded = Encode(zeros, nullptr, 0.012);
  ASSERT_TRUE(coded);
  EXPECT_LT(coded->bytes(), 50 + 20 * coded->blocks.size());
  EXPECT_EQ(coded->error, 0);
}

TEST(Adam, PaddingNeitherCostsMuchMoreThanRawNorCoarsensTheRest) {
  for (size_t padding : {2000, 40000, 100000}) {
    const Pair good = Flat(Trained(400, 250, 50));
    const Pair garbage = Garbage(padding, 51);
    Pair pair = good;
    pair.v.insert(pair.v.end(), garbage.v.begin(), garbage.v.end());
    pair.m.insert(pair.m.end(), garbage.m.begin(), garbage.m.end());
    pair.row_words = pair.size();
    for (double bound : kBounds) {
      SCOPED_TRACE(testing::Message() << padding << " of padding, bound " << bound);
      const auto clean = Encode(good, nullptr, bound);
      const auto coded = Encode(pair, nullptr, bound);
      ASSERT_TRUE(coded);
      EXPECT_LT(coded->bytes(), clean->bytes() + padding * 83 / 10 + 2000);
      Pair decoded = Decode(*coded, pair, nullptr);
      decoded.v.resize(good.size());
      decoded.m.resize(good.size());
      EXPECT_LT(UpdateError(good, decoded), 1.5 * bound);
    }
  }
}

TEST(Adam, RefusesWhatItCannotServe) {
  const Pair pair = Trained(100, 100, 60);
  const auto all = [&](float v, float m) {
    return Map(pair, [=](size_t, float& to_v, float& to_m) { to_v = v, to_m = m; });
  };
  EXPECT_FALSE(Encode(pair, nullptr, 0));
  EXPECT_FALSE(Encode(pair, nullptr, -1));
  EXPECT_FALSE(Encode(pair, nullptr, std::nan("")));
  EXPECT_FALSE(Encode(all(Limits::quiet_NaN(), Limits::quiet_NaN()), nullptr, 0.012));
  EXPECT_FALSE(Encode(all(1e-9f, Limits::infinity()), nullptr, 0.012));
  EXPECT_FALSE(Encode(all(-1, 1), nullptr, 0.012));
  EXPECT_FALSE(Encode(all(1e-41f, 1e-30f), nullptr, 0.012));
  EXPECT_FALSE(Encode(Garbage(10000, 61), nullptr, 0.012));
}

TEST(Adam, LeansOnAnyBase) {
  const Pair pair = Trained(200, 200, 70);
  const Pair bases[] = {pair, Garbage(pair.size(), 71),
                        Map(pair, [](size_t, float& v, float& m) { v = m = Limits::quiet_NaN(); })};
  for (const Pair& base : bases) {
    const auto coded = Encode(pair, &base, 0.012);
    const Pair decoded = Decode(*coded, pair, &base);
    EXPECT_LE(UpdateError(pair, decoded), 0.012001);
    EXPECT_LE(coded->bytes(), Encode(pair, nullptr, 0.012)->bytes() + 16);
  }
  EXPECT_LT(Encode(pair, &pair, 0.012)->bytes(), pair.size() / 20);
}

TEST(Adam, EqualBytesOnEverySimdTarget) {
  for (const Named& tensor : Tensors()) {
    const Pair pair = tensor.make();
    const Pair base = Later(pair, 80);
    for (double bound : {0.012, 0.35}) {
      SCOPED_TRACE(testing::Message() << tensor.name << ", bound " << bound);
      const auto coded = Encode(pair, &base, bound);
      const Pair decoded = Decode(*coded, pair, &base);
      bitsnap::test::ForEachSimdTarget([&](const char* target) {
        SCOPED_TRACE(target);
        EXPECT_EQ(Encode(pair, &base, bound), coded);
        const Pair again = Decode(*coded, pair, &base);
        EXPECT_EQ(again.v, decoded.v);
        EXPECT_EQ(again.m, decoded.m);
      });
    }
  }
}

std::vector<std::byte> FromHex(std::string hex) {
  std::erase(hex, ' ');
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(std::byte(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// The worked example of spec.md.
TEST(Adam, GoldenPayload) {
  const float kNaN = std::bit_cast<float>(0x7fc00001u);
  const float pair[] = {0x1p-20f,   0x1.1p-22f, 0, 0x1p-20f,  // v
                        0x1.1p-11f, -0x1p-12f,  0, kNaN};     // m
  const float want[] = {0x1p-20f, 0x1p-22f, 0, 0x1p-20f, 0x1p-11f, -0x1p-12f, 0, kNaN};
  const auto params = WriteParams({{1, 0.5f, 0}, 1, -160, 1, 0, {}, {}});
  EXPECT_EQ(params, FromHex("00 00 80 3f  00 00 00 3f  00 00 00 00  01 00 00 00"
                            "00 00 00 00  00 00 00 00  60 ff ff ff"));
  const auto golden = FromHex(
      "00  00 00  ff ff"
      "00  00 00  00 00"
      "00  99 77 18 08"
      "00 00 80 35  01 00 c0 7f");
  const BlockContext context{.params = params};
  Scratch scratch;
  std::vector<std::byte> out(AdamCodec().EncodeBound(sizeof(pair)));
  const auto coded = AdamCodec().Encode(context, MomentsIn(Bytes(std::as_bytes(std::span(pair)))),
                                        SIZE_MAX, out, {}, scratch);
  ASSERT_TRUE(coded);
  out.resize(coded->bytes);
  EXPECT_EQ(out, golden);
  float decoded[8];
  const MutableBytes room = std::as_writable_bytes(std::span(decoded));
  ASSERT_TRUE(AdamCodec().Decode(context, golden, MomentsIn(room), scratch));
  EXPECT_EQ(std::memcmp(decoded, want, sizeof(want)), 0);
}

// Larger, with all that a payload can hold: rows and columns, base, planes, rANS. If one of the
// sums changes, the encoder decides otherwise than before; if only those of the decoded values do,
// the format has changed.
TEST(Adam, GoldenChecksums) {
  // No libm and no distributions of the library, which differ from one to the next.
  std::mt19937 random(100);
  Pair pair{{}, {}, 64};
  for (size_t i = 0; i < 64 * 64; ++i) {
    const auto noise = [&] { return static_cast<float>(random() % 4096) / 4096; };
    pair.v.push_back(0x1p-30f * (0.5f + noise()) * static_cast<float>(1 + i / 64 * (i % 64)));
    pair.m.push_back(0x1p-17f * (noise() + noise() - 1));
  }
  Pair base = pair;
  for (float& v : base.v) v *= 1.25f;
  for (float& m : base.m) m *= 0.5f;
  const uint64_t golden_params[] = {11558337869908216701u, 8362063575357114605u,
                                    18216144896482014479u, 2417742805141618256u};
  const uint64_t golden_decoded[] = {9621234270595184564u, 12625480246862561832u,
                                     18197096922101457559u, 3252692961604058595u};
  for (size_t i = 0; i < 4; ++i) {
    SCOPED_TRACE(kBounds[i]);
    const auto coded = Encode(pair, i % 2 == 0 ? &base : nullptr, kBounds[i]);
    EXPECT_EQ(Checksum64(coded->params), golden_params[i]);
    const Pair decoded = Decode(*coded, pair, i % 2 == 0 ? &base : nullptr);
    EXPECT_EQ(Checksum64(decoded.v_bytes()) ^ Checksum64(decoded.m_bytes()), golden_decoded[i]);
  }
}

// Whatever the params are, the decoder gives bytes or kCorrupt.
TEST(Adam, SurvivesHostileParams) {
  const Pair pair = Trained(64, 64, 90);
  const auto coded = Encode(pair, nullptr, 0.012);
  ASSERT_TRUE(ReadParams(coded->params)->panel_rows > 0);
  Scratch scratch;
  std::vector<std::byte> out(2 * pair.size() * sizeof(float));
  const auto decode = [&](std::vector<std::byte> params, uint64_t first) {
    params.shrink_to_fit();  // for the address sanitizer
    const BlockContext context{.params = params, .first_word = first};
    const auto done =
        AdamCodec().Decode(context, coded->blocks[0], MomentsIn(MutableBytes(out)), scratch);
    EXPECT_TRUE(done || done.error().kind == ErrorKind::kCorrupt);
    return done.has_value();
  };
  EXPECT_TRUE(decode(coded->params, 0));
  for (size_t size = 0; size < coded->params.size(); ++size) {
    EXPECT_FALSE(decode({coded->params.begin(), coded->params.begin() + size}, 0));
  }
  auto longer = coded->params;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode(longer, 0));
  for (size_t at = 0; at < coded->params.size(); ++at) {
    for (int flip = 1; flip < 256; ++flip) {
      auto params = coded->params;
      params[at] ^= std::byte(flip);
      decode(params, 0);
    }
  }
  // A block that lies where the params have no row.
  for (uint64_t first : {uint64_t{1}, uint64_t{4096}, uint64_t{1} << 40, UINT64_MAX}) {
    EXPECT_FALSE(decode(coded->params, first));
  }
}

TEST(AdamParams, ChecksEveryField) {
  const std::vector<int8_t> rows = {1, 2, 3}, columns = {4, 5, 6, 7};
  const Params good{{0.1f, 0.2f, 1e-8f}, 1, -100, 2, 2, rows, columns};
  const auto reads = [](const Params& params) {
    return ReadParams(WriteParams(params)).has_value();
  };
  EXPECT_TRUE(reads(good));
  const auto changed = [&](auto change) {
    Params params = good;
    change(params);
    return params;
  };
  for (float step : {0.0f, -1.0f, 1e-31f, 1025.0f, Limits::infinity(), Limits::quiet_NaN()}) {
    EXPECT_FALSE(reads(changed([=](Params& p) { p.grid.v_step = step; })));
    EXPECT_FALSE(reads(changed([=](Params& p) { p.grid.u_step = step; })));
  }
  for (float eps : {-1e-8f, 1e-37f, 1e30f, Limits::infinity(), Limits::quiet_NaN()}) {
    EXPECT_FALSE(reads(changed([=](Params& p) { p.grid.eps = eps; })));
  }
  EXPECT_TRUE(reads(changed([](Params& p) { p.grid.eps = 0; })));
  EXPECT_FALSE(reads(changed([](Params& p) { p.origin = 1009; })));
  EXPECT_FALSE(reads(changed([](Params& p) { p.origin = -32768; })));
  EXPECT_FALSE(reads(changed([](Params& p) { p.row_length = 0; })));
  EXPECT_FALSE(reads(changed([](Params& p) { p.row_length = UINT32_MAX; })));
  EXPECT_FALSE(reads(changed([](Params& p) { p.panel_rows = 1; })));
  EXPECT_FALSE(reads(changed([](Params& p) { p.rows = {}; })));
  EXPECT_FALSE(reads(changed([](Params& p) { p.columns = {}; })));
  EXPECT_TRUE(reads(changed([](Params& p) { p.columns = {}, p.panel_rows = 0; })));
  EXPECT_TRUE(Covers(good, 6));
  EXPECT_FALSE(Covers(good, 7));
  // Row 2 begins the second panel.
  float anchors[2];
  FillAnchors(good, 4, anchors);
  EXPECT_EQ(anchors[0], (-100 + 3 + 6) / 8.0f);
  EXPECT_EQ(anchors[1], (-100 + 3 + 7) / 8.0f);
}

}  // namespace
}  // namespace bitsnap::adam
