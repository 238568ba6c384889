#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "codec/cluster/codec.h"
#include "codec/cluster/kernel_ref.h"
#include "codec/cluster/quantiles.h"

namespace bitsnap {
namespace {

using cluster::Range;
using Coded = std::vector<std::byte>;
using Floats = std::vector<float>;
using Limits = std::numeric_limits<float>;

constexpr float kMax = Limits::max();
constexpr float kInfinity = Limits::infinity();

Floats Normal(size_t count, float mean, float deviation, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, deviation);
  Floats values(count);
  for (float& value : values) value = normal(random);
  return values;
}

std::optional<Coded> Encode(const Codec& codec, const Floats& values, size_t limit = SIZE_MAX) {
  Scratch scratch;
  Coded out(codec.EncodeBound(values.size() * 4));
  const auto coded =
      codec.Encode({}, {{DType::kF32, std::as_bytes(std::span(values))}}, limit, out, {}, scratch);
  if (!coded) return std::nullopt;
  out.resize(coded->bytes);
  return out;
}

Result<Floats> Decode(const Coded& coded, size_t elements) {
  Scratch scratch;
  Floats values(elements);
  const auto done = ClusterCodec().Decode(
      {}, coded, {{DType::kF32, std::as_writable_bytes(std::span(values))}}, scratch);
  if (!done) return tl::make_unexpected(done.error());
  return values;
}

Floats RoundTrip(const Floats& values, const Codec& codec = ClusterCodec()) {
  const auto coded = Encode(codec, values);
  EXPECT_TRUE(coded);
  const auto decoded = Decode(*coded, values.size());
  EXPECT_TRUE(decoded);
  return *decoded;
}

std::vector<uint32_t> Bits(const Floats& values) {
  std::vector<uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size() * 4);
  return bits;
}

Coded FromHex(std::string_view hex) {
  Coded bytes;
  std::string digits(hex);
  std::erase(digits, ' ');
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

struct Parameters {
  size_t clusters;
  int label_bits;
};

const std::vector<Parameters> kParameters = {{1, 1},  {2, 1},  {3, 2},   {5, 3},  {16, 4},
                                             {16, 8}, {17, 5}, {100, 7}, {33, 6}, {256, 8}};

TEST(ClusterQuantiles, AreThoseOfTheNormalDistribution) {
  // From Python's statistics.NormalDist().inv_cdf.
  EXPECT_EQ(cluster::NormalQuantiles(1).size(), 0u);
  EXPECT_EQ(cluster::NormalQuantiles(2), std::vector<double>{0});
  const auto q4 = cluster::NormalQuantiles(4);
  EXPECT_NEAR(q4[2], 0.67448975019608171, 1e-12);
  const auto q256 = cluster::NormalQuantiles(256);
  ASSERT_EQ(q256.size(), 255u);
  EXPECT_NEAR(q256[254], 2.6600674686174585, 1e-12);
  EXPECT_EQ(q256[127], 0);
  for (size_t i = 0; i < 255; ++i) EXPECT_EQ(q256[i], -q256[254 - i]);
  EXPECT_TRUE(std::is_sorted(q256.begin(), q256.end()));
}

TEST(ClusterKernel, EqualsReference) {
  for (size_t count : {1, 2, 7, 8, 9, 63, 255, 1000, 4099}) {
    for (const auto& [clusters, label_bits] : kParameters) {
      SCOPED_TRACE(testing::Message() << count << " elements, " << clusters << " clusters");
      const Floats values = Normal(count, 0.01f, 0.5f, static_cast<uint32_t>(count));
      const auto moments = cluster::Measure(values);
      const auto expected = cluster::ref::Measure(values);
      ASSERT_EQ(moments.mean, expected.mean);
      ASSERT_EQ(moments.deviation, expected.deviation);

      Floats boundaries;
      for (double z : cluster::NormalQuantiles(clusters)) {
        boundaries.push_back(static_cast<float>(moments.mean + z * moments.deviation));
      }
      std::vector<uint8_t> labels(count), ref_labels(count);
      std::vector<Range> ranges(clusters), ref_ranges(clusters);
      cluster::AssignLabels(values, boundaries, labels, ranges);
      cluster::ref::AssignLabels(values, boundaries, ref_labels, ref_ranges);
      ASSERT_EQ(labels, ref_labels);
      ASSERT_EQ(std::memcmp(ranges.data(), ref_ranges.data(), clusters * sizeof(Range)), 0);

      Coded codes(count), ref_codes(count);
      cluster::Quantize(values, labels, ranges, codes);
      cluster::ref::Quantize(values, labels, ranges, ref_codes);
      ASSERT_EQ(codes, ref_codes);

      Coded packed(cluster::PackedBytes(count, label_bits)), ref_packed(packed.size());
      cluster::PackLabels(labels, label_bits, packed);
      cluster::ref::PackLabels(labels, label_bits, ref_packed);
      ASSERT_EQ(packed, ref_packed);

      Floats table((size_t{1} << label_bits) * cluster::kCodes), decoded(count), ref_decoded;
      cluster::BuildTable(ranges, std::span(table).first(clusters * cluster::kCodes));
      const size_t largest = cluster::Lookup(packed, label_bits, codes, table,
                                             std::as_writable_bytes(std::span(decoded)));
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(cluster::ref::LabelAt(packed, label_bits, i), labels[i]);
        ref_decoded.push_back(cluster::ref::Value(ranges[labels[i]], codes[i]));
      }
      ASSERT_EQ(Bits(decoded), Bits(ref_decoded));
      ASSERT_EQ(largest, *std::max_element(labels.begin(), labels.end()));
    }
  }
}

TEST(Cluster, WorkedExample) {
  const Floats values = {-1, 0.5f, Limits::quiet_NaN(), 2, 1};
  const Coded payload = FromHex(
      "01 01 01 00 00 00 00 00 80 bf 00 00 80 bf 00 00 00 3f 00 00 00 40 1a 00 00 00 ff 55"
      "02 00 00 00 00 00 c0 7f");
  EXPECT_EQ(Encode(Cluster(2, 1), values), payload);
  EXPECT_EQ(Bits(Decode(payload, 5).value()), Bits(values));
}

TEST(Cluster, ErrorIsAtMostHalfAStepOfItsCluster) {
  for (const auto& [clusters, label_bits] : kParameters) {
    const Floats values = Normal(5000, -3, 0.02f, 7);
    const auto coded = Encode(Cluster(clusters, label_bits), values);
    ASSERT_TRUE(coded);
    EXPECT_EQ(coded->size(), 6 + 8 * clusters + cluster::PackedBytes(5000, label_bits) + 5000);
    std::vector<Range> ranges(clusters);
    std::memcpy(ranges.data(), &(*coded)[6], clusters * sizeof(Range));
    const Bytes packed = Bytes(*coded).subspan(6 + 8 * clusters);
    const Floats decoded = Decode(*coded, 5000).value();
    for (size_t i = 0; i < values.size(); ++i) {
      const Range& range = ranges[cluster::ref::LabelAt(packed, label_bits, i)];
      const double step = (double{range.high} - range.low) / 255;
      ASSERT_LE(std::abs(double{values[i]} - decoded[i]), step / 2 + 3 * 0x1p-24);
    }
  }
}

TEST(Cluster, ExtremesComeBackExactly) {
  Floats values = Normal(1000, 0, 1, 3);
  values[10] = 55.5f;
  values[20] = -77.25f;
  const Floats decoded = RoundTrip(values);
  EXPECT_EQ(decoded[10], 55.5f);
  EXPECT_EQ(decoded[20], -77.25f);
}

TEST(Cluster, FewDistinctValuesComeBackExactly) {
  const float denormal = Limits::denorm_min();
  for (float a : {0.0f, 1.0f, -0.3f, denormal, -5 * denormal, kMax, -kMax}) {
    for (float b : {0.0f, 1.0f, -0.3f, denormal, -5 * denormal, kMax, -kMax}) {
      Floats values(300, a);
      values[7] = b;
      EXPECT_EQ(Bits(RoundTrip(values)), Bits(values)) << a << " and " << b;
      EXPECT_EQ(Bits(RoundTrip(values, Cluster(1, 1))), Bits(values)) << a << " and " << b;
    }
  }
}

TEST(Cluster, NegativeZeroBecomesZero) {
  EXPECT_EQ(Bits(RoundTrip(Floats(300, -0.0f))), Bits(Floats(300, 0.0f)));
}

TEST(Cluster, HugeRangesStayFiniteAndWithinTheBlock) {
  Floats values = Normal(4000, 0, kMax / 8, 5);
  for (float& value : values) value = std::clamp(value, -kMax, kMax);
  for (const auto& [clusters, label_bits] : kParameters) {
    const Floats decoded = RoundTrip(values, Cluster(clusters, label_bits));
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_TRUE(std::isfinite(decoded[i]));
      ASSERT_NEAR(double{decoded[i]}, double{values[i]}, double{kMax} / 255);
    }
  }
}

TEST(Cluster, EscapesAreExactAndStretchNoRange) {
  Floats values = Normal(2000, 4, 0.01f, 11);
  const std::vector<std::pair<size_t, uint32_t>> escapes = {
      {0, 0x7f800000}, {1, 0xff800000}, {77, 0x7f800001}, {78, 0xffffffff}, {1999, 0x7fc12345}};
  for (auto [position, bits] : escapes) values[position] = std::bit_cast<float>(bits);
  const auto decoded = Bits(RoundTrip(values));
  for (auto [position, bits] : escapes) EXPECT_EQ(decoded[position], bits);
  for (size_t i = 2; i < 77; ++i) EXPECT_NEAR(std::bit_cast<float>(decoded[i]), values[i], 1e-4);
}

TEST(Cluster, LeavesBlocksOfManyEscapesToOthers) {
  Floats values(4000, 1);
  std::fill_n(values.begin(), 1000, kInfinity);
  EXPECT_TRUE(Encode(ClusterCodec(), values));
  values[1000] = kInfinity;
  EXPECT_FALSE(Encode(ClusterCodec(), values));
  EXPECT_FALSE(Encode(ClusterCodec(), Floats(4, kInfinity)));
}

TEST(Cluster, RespectsTheLimitToTheByte) {
  Floats values = Normal(3000, 0, 1, 13);
  values[5] = kInfinity;
  const size_t size = Encode(ClusterCodec(), values)->size();
  EXPECT_EQ(size, 6u + 128 + 1500 + 3000 + 8);
  EXPECT_TRUE(Encode(ClusterCodec(), values, size + 1));
  EXPECT_FALSE(Encode(ClusterCodec(), values, size));
  EXPECT_FALSE(Encode(ClusterCodec(), values, size - 8));
}

// The worked example's block with one thing wrong at a time.
TEST(Cluster, RefusesWhatBreaksTheSpec) {
  const std::string header = "01 01 01 00 00 00", low = "00 00 80 bf 00 00 80 bf",
                    high = "00 00 00 3f 00 00 00 40", labels = "1a", codes = "00 00 00 ff 55",
                    escape = "02 00 00 00 00 00 c0 7f";
  const auto refuses = [](const std::string& hex) {
    const auto decoded = Decode(FromHex(hex), 5);
    return !decoded && decoded.error().kind == ErrorKind::kCorrupt;
  };
  const std::string tail = labels + codes + escape;
  ASSERT_FALSE(refuses(header + low + high + tail));
  EXPECT_TRUE(refuses(header + low + high + tail + "00"));                  // too long
  EXPECT_TRUE(refuses("01 01 01"));                                         // ends in its header
  EXPECT_TRUE(refuses("00 01 01 00 00 00" + low + high + codes + escape));  // no label bits
  EXPECT_TRUE(refuses("09 01 01 00 00 00" + low + high + "000000000000" + codes + escape));
  EXPECT_TRUE(
      refuses("01 02 01 00 00 00" + low + high + high + tail));   // more clusters than labels
  EXPECT_TRUE(refuses("01 01 02 00 00 00" + low + high + tail));  // escapes missing
  EXPECT_TRUE(refuses("01 01 ff ff ff ff" + low + high + tail));
  EXPECT_TRUE(refuses("01 00 01 00 00 00" + high + tail));                // label 1 has no range
  EXPECT_TRUE(refuses(header + low + "00 00 00 40 00 00 00 3f" + tail));  // high < low
  EXPECT_TRUE(refuses(header + low + "00 00 00 3f 00 00 80 7f" + tail));  // high infinite
  EXPECT_TRUE(refuses(header + low + "00 00 c0 7f 00 00 c0 7f" + tail));  // NaN
  EXPECT_TRUE(refuses(header + low + high + "3a" + codes + escape));  // bit after the last label
  EXPECT_TRUE(refuses(header + low + high + labels + codes + "05 00 00 00 00 00 c0 7f"));
  const std::string two = "01 01 02 00 00 00" + low + high + labels + codes;
  EXPECT_FALSE(refuses(two + "01 00 00 00 00 00 c0 7f" + escape));
  EXPECT_TRUE(refuses(two + escape + escape));                     // position twice
  EXPECT_TRUE(refuses(two + escape + "01 00 00 00 00 00 c0 7f"));  // descending
}

}  // namespace
}  // namespace bitsnap
