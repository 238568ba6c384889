#include "codec/adam/kernel.h"

#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "codec/adam/kernel_ref.h"
#include "codec/adam/math.h"
#include "tests/support/guarded.h"
#include "tests/support/simd_targets.h"

namespace bitsnap::adam {
namespace {

using test::Guarded;
using Floats = std::vector<float>;
using Indices = std::vector<int16_t>;
using Limits = std::numeric_limits<float>;

// Of any sign, exponent and mantissa, with everything that a kernel could trip over.
float AnyFloat(std::mt19937& random) {
  constexpr float kSpecial[] = {0.0f,
                                -0.0f,
                                1.0f,
                                Limits::denorm_min(),
                                Limits::min(),
                                Limits::max(),
                                Limits::infinity(),
                                -Limits::infinity(),
                                Limits::quiet_NaN(),
                                kMinNormal,
                                kMaxNormal};
  if (random() % 4 == 0) return kSpecial[random() % std::size(kSpecial)];
  return std::bit_cast<float>(static_cast<uint32_t>(random()));
}

// As Adam leaves them, mostly.
float AnyV(std::mt19937& random) {
  if (random() % 8 == 0) return AnyFloat(random);
  return std::ldexp(1.0f + static_cast<float>(random() % 1000) / 1000, -20 - int(random() % 30));
}

float AnyM(float v, std::mt19937& random) {
  if (random() % 8 == 0) return AnyFloat(random);
  return std::sqrt(v) * (static_cast<float>(random() % 2000) - 1000) / 1000;
}

struct Case {
  Case(size_t n, std::mt19937& random) : anchors(n), v(n), m(n), base_v(n), base_m(n) {
    const float steps[] = {0x1p-6f, 0.1f, 0.7f, 1.0f, 2.0f};
    grid = {steps[random() % 5], steps[random() % 5], random() % 4 == 0 ? 0.0f : 1e-8f};
    stretch = random() % 2 == 0 ? 1 : kMinStretch + static_cast<float>(random() % 256) / 512;
    for (size_t i = 0; i < n; ++i) {
      anchors[i] = -30 - static_cast<float>(random() % 64) / 8;
      v[i] = AnyV(random);
      m[i] = random() % 16 == 0 && v[i] == 0 ? 0 : AnyM(v[i], random);
      base_v[i] = AnyV(random);
      base_m[i] = AnyM(base_v[i], random);
    }
  }
  Grid grid;
  Stretch stretch;
  Floats anchors, v, m, base_v, base_m;
};

// The bytes of `values`, at an odd address.
Bytes Odd(const Floats& values, Guarded& room) {
  const MutableBytes bytes = room.Reset(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

MutableBytes Bits(Floats& values) { return std::as_writable_bytes(std::span(values)); }

// NaN payloads included.
void ExpectSame(const Floats& want, const Floats& got) {
  ASSERT_EQ(std::memcmp(want.data(), got.data(), want.size() * sizeof(float)), 0);
}

void Check(const Case& c) {
  const size_t n = c.v.size();
  Guarded v, m, base_v, base_m;
  Odd(c.v, v), Odd(c.m, m), Odd(c.base_v, base_v), Odd(c.base_m, base_m);

  Indices kv(n), ku(n), want_kv(n), want_ku(n);
  Floats d(n), want_d(n), told_v(n), told_m(n), want_v(n), want_m(n);
  const UpdateSums told = Quantize(v.bytes(), m.bytes(), c.anchors, c.grid, c.stretch,
                                   {kv, ku, d, Bits(told_v), Bits(told_m)});
  QuantizeRef(v.bytes(), m.bytes(), c.anchors, c.grid, c.stretch,
              {want_kv, want_ku, want_d, Bits(want_v), Bits(want_m)});
  ASSERT_EQ(kv, want_kv);
  ASSERT_EQ(ku, want_ku);
  ExpectSame(want_v, told_v);
  ExpectSame(want_m, told_m);

  Floats decoded(n), denominators(n), want_decoded(n), want_denominators(n);
  ReconstructV(kv, c.anchors, c.grid, Bits(decoded), denominators);
  ReconstructVRef(kv, c.anchors, c.grid, Bits(want_decoded), want_denominators);
  ExpectSame(want_decoded, decoded);
  ExpectSame(want_denominators, denominators);
  for (size_t i = 0; i < n; ++i) ASSERT_TRUE(kv[i] <= kZero || d[i] == denominators[i]);

  Floats update(n), want_update(n);
  ReconstructM(kv, ku, denominators, c.grid, Bits(update));
  ReconstructMRef(kv, ku, denominators, c.grid, Bits(want_update));
  ExpectSame(want_update, update);

  Indices base(n), want_base(n);
  IndexV(base_v.bytes(), c.anchors, c.grid, base);
  IndexVRef(base_v.bytes(), c.anchors, c.grid, want_base);
  ASSERT_EQ(base, want_base);
  IndexM(base_m.bytes(), denominators, c.grid, base);
  IndexMRef(base_m.bytes(), denominators, c.grid, want_base);
  ASSERT_EQ(base, want_base);

  Indices logs(n), want_logs(n);
  LogV(v.bytes(), -77, logs);
  LogVRef(v.bytes(), -77, want_logs);
  ASSERT_EQ(logs, want_logs);

  const UpdateSums error = MeasureError(v.bytes(), m.bytes(), c.anchors, c.grid, c.stretch);
  const UpdateSums want = MeasureErrorRef(v.bytes(), m.bytes(), c.anchors, c.grid, c.stretch);
  ASSERT_EQ(error.error2, want.error2);
  ASSERT_EQ(error.norm2, want.norm2);
  ASSERT_EQ(error.along, want.along);
  ASSERT_EQ(told.error2, want.error2);
  ASSERT_EQ(told.norm2, want.norm2);
  ASSERT_EQ(told.along, want.along);
}

TEST(AdamKernel, EqualsReferenceOnEveryTarget) {
  test::ForEachSimdTarget([](const char* target) {
    SCOPED_TRACE(target);
    std::mt19937 random(1);
    for (size_t n = 1; n <= 70; ++n) ASSERT_NO_FATAL_FAILURE(Check(Case(n, random)));
    for (int i = 0; i < 20; ++i) ASSERT_NO_FATAL_FAILURE(Check(Case(1003, random)));
  });
}

TEST(AdamKernel, AddsColumnsOnEveryTarget) {
  test::ForEachSimdTarget([](const char* target) {
    SCOPED_TRACE(target);
    std::mt19937 random(7);
    for (size_t n = 1; n <= 70; ++n) {
      std::vector<int8_t> columns(n);
      for (int8_t& column : columns) column = static_cast<int8_t>(random());
      const int mean = static_cast<int>(random() % 2270) - 1135;
      Floats anchors(n), want(n);
      for (const auto& given : {std::span<const int8_t>(columns), std::span<const int8_t>()}) {
        AddColumns(mean, given, anchors);
        AddColumnsRef(mean, given, want);
        ExpectSame(want, anchors);
      }
    }
  });
}

#if defined(__SSE2__)
// torch.set_flush_denormal(True) puts a thread, and those it starts, into this mode.
TEST(AdamKernel, FlushToZeroChangesNothing) {
  std::mt19937 random(6);
  std::vector<Case> cases;
  for (int i = 0; i < 20; ++i) cases.emplace_back(1003, random);
  const auto all = [&cases] {
    std::vector<int16_t> indices;
    std::vector<float> values;
    for (const Case& c : cases) {
      const size_t n = c.v.size();
      Indices kv(n), ku(n), base(n);
      Floats v(n), m(n), denominators(n);
      const auto bytes = [](const Floats& f) { return std::as_bytes(std::span(f)); };
      Quantize(bytes(c.v), bytes(c.m), c.anchors, c.grid, c.stretch, {kv, ku, denominators});
      ReconstructV(kv, c.anchors, c.grid, Bits(v), denominators);
      ReconstructM(kv, ku, denominators, c.grid, Bits(m));
      for (const Indices& k : {kv, ku}) indices.insert(indices.end(), k.begin(), k.end());
      for (const Floats& f : {v, m}) values.insert(values.end(), f.begin(), f.end());
      IndexV(bytes(c.base_v), c.anchors, c.grid, base);
      indices.insert(indices.end(), base.begin(), base.end());
      IndexM(bytes(c.base_m), denominators, c.grid, base);
      indices.insert(indices.end(), base.begin(), base.end());
      const UpdateSums sums = MeasureError(bytes(c.v), bytes(c.m), c.anchors, c.grid, c.stretch);
      values.push_back(static_cast<float>(sums.error2));
      values.push_back(static_cast<float>(sums.norm2));
    }
    return std::pair(indices, values);
  };
  const auto want = all();
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040);
  const auto got = all();
  _mm_setcsr(mode);
  EXPECT_EQ(got.first, want.first);
  ExpectSame(want.second, got.second);
}
#endif

TEST(AdamKernel, ReconstructsFromAnyIndices) {
  test::ForEachSimdTarget([](const char* target) {
    SCOPED_TRACE(target);
    std::mt19937 random(2);
    for (const Grid grid : {Grid{0x1p+10f, 0x1p+10f, 0x1p+60f}, Grid{0x1p-100f, 0x1p-100f, 0}}) {
      const size_t n = 300;
      Indices k(n);
      Floats anchors(n), a(n), b(n), c(n), d(n), e(n), f(n);
      for (size_t i = 0; i < n; ++i) {
        k[i] = static_cast<int16_t>(random());
        anchors[i] = static_cast<float>(random() % 1400) / 4 - 175;
      }
      ReconstructV(k, anchors, grid, Bits(a), b);
      ReconstructVRef(k, anchors, grid, Bits(c), d);
      ExpectSame(c, a);
      ExpectSame(d, b);
      Indices anything(k.rbegin(), k.rend());
      ReconstructM(anything, k, b, grid, Bits(e));
      ReconstructMRef(anything, k, b, grid, Bits(f));
      ExpectSame(f, e);
    }
  });
}

struct Stream {
  Stream(size_t n, std::mt19937& random)
      : elements(n), indices((n + kGroup - 1) / kGroup * kGroup), base(indices) {
    const int spread = 1 << random() % 13;
    const auto any = [&] { return static_cast<int16_t>(int(random() % (2 * spread)) - spread); };
    for (size_t i = 0; i < elements; ++i) {
      indices[i] = any();
      base[i] = any();
      if (random() % 16 == 0) indices[i] = random() % 2 == 0 ? kEscape : kZero;
    }
    prediction = {static_cast<int16_t>(random() % 3 == 0 ? 0 : random()), any()};
    shift = static_cast<int>(random() % (kMaxShift + 1));
    half = random() % 2 == 0 ? Half::kHigh : Half::kLow;
    zero_symbol = random() % 2 == 0 ? kZeroSymbol : kMiddle;
  }
  size_t elements;
  Indices indices, base;
  Prediction prediction;
  int shift;
  uint8_t zero_symbol;
  Half half;
};

void Check(const Stream& s) {
  Indices indices = s.indices, want_indices = s.indices;
  // What the low half is added to.
  std::vector<uint8_t> symbols(indices.size(), 0x70), want_symbols = symbols;
  Guarded planes, want_planes;
  const size_t bytes = s.shift * PlaneBytes(s.elements);
  Split(indices, s.base, s.prediction, s.shift, s.zero_symbol, s.elements, s.half, symbols,
        planes.Reset(bytes));
  SplitRef(want_indices, s.base, s.prediction, s.shift, s.zero_symbol, s.elements, s.half,
           want_symbols, want_planes.Reset(bytes));
  ASSERT_TRUE(planes.intact());
  ASSERT_TRUE(std::ranges::equal(planes.bytes(), want_planes.bytes()));
  const auto counted = [&](const auto& v) {
    return std::vector(v.begin(), v.begin() + s.elements);
  };
  ASSERT_EQ(counted(symbols), counted(want_symbols));
  ASSERT_EQ(counted(indices), counted(want_indices));

  Indices joined(indices.size());
  Join(symbols, {planes.bytes(), PlaneBytes(s.elements)}, s.base, s.prediction, s.shift, s.elements,
       s.half, joined);
  for (size_t i = 0; i < s.elements; ++i) {
    const bool told = indices[i] != kZero || s.zero_symbol == kZeroSymbol;
    ASSERT_TRUE(!told || joined[i] == indices[i]) << i;
  }
}

TEST(AdamResidual, SplitEqualsReferenceAndJoinInvertsIt) {
  test::ForEachSimdTarget([](const char* target) {
    SCOPED_TRACE(target);
    std::mt19937 random(3);
    for (size_t n = 1; n <= 200; ++n) ASSERT_NO_FATAL_FAILURE(Check(Stream(n, random)));
    for (int i = 0; i < 50; ++i) ASSERT_NO_FATAL_FAILURE(Check(Stream(4099, random)));
  });
}

TEST(AdamResidual, JoinsAnySymbolsAsTheReferenceDoes) {
  test::ForEachSimdTarget([](const char* target) {
    SCOPED_TRACE(target);
    std::mt19937 random(4);
    for (int i = 0; i < 50; ++i) {
      Stream s(333, random);
      s.prediction.offset = static_cast<int16_t>(random());
      for (int16_t& k : s.base) k = static_cast<int16_t>(random());
      std::vector<uint8_t> symbols(s.indices.size());
      for (uint8_t& symbol : symbols) symbol = static_cast<uint8_t>(random());
      std::vector<std::byte> planes(s.shift * PlaneBytes(s.elements));
      for (std::byte& byte : planes) byte = std::byte(random());
      Indices joined(symbols.size()), want(symbols.size());
      const PlanesView view{planes, PlaneBytes(s.elements)};
      Join(symbols, view, s.base, s.prediction, s.shift, s.elements, s.half, joined);
      JoinRef(symbols, view, s.base, s.prediction, s.shift, s.elements, s.half, want);
      joined.resize(s.elements), want.resize(s.elements);
      ASSERT_EQ(joined, want);
    }
  });
}

TEST(AdamMath, LogarithmAndPowerAreClose) {
  std::mt19937 random(5);
  for (int i = 0; i < 100000; ++i) {
    const float x = std::ldexp(1 + static_cast<float>(random() % 65536) / 65536,
                               static_cast<int>(random() % 250) - 124);
    if (x >= kMaxNormal) continue;
    ASSERT_NEAR(Log2(x), std::log2(double{x}), 6e-6 + 1e-7 * std::abs(std::log2(x))) << x;
    const double power = Exp2(Log2(x));
    ASSERT_NEAR(power / x, 1, 3e-5) << x;  // Log2's last bit is 2^-17 far from 1
  }
  EXPECT_EQ(Exp2(-1000), 0x1p-124f);
  EXPECT_EQ(Exp2(1000), 0x1p+126f);
  EXPECT_EQ(Exp2(3), 8);
}

}  // namespace
}  // namespace bitsnap::adam
