// `exact` is never clearly larger than what simpler ways make of the same tensor: the packed
// bitmask of `paper`, and byte planes without a base.
#include <gtest/gtest.h>

#include <cmath>

#include "io/memory.h"
#include "store/store_test_util.h"
#include "tests/support/test_data.h"

namespace bitsnap {
namespace {

using namespace testing_util;

enum class Change {
  kStep,     // by a few units in the last place, fewer in larger words, as Adam does
  kStretch,  // the same, but the changed words lie side by side
  kReplace,  // by other random bits
};

struct Case {
  DType dtype;
  std::vector<uint64_t> shape;
  test::Content content;
  Change change;
  double fraction;  // of the words
};

uint64_t WordsOf(const Case& c) {
  uint64_t words = 1;
  for (uint64_t size : c.shape) words *= size;
  return words;
}

// By about the same absolute amount in every word, as integers: half the units an exponent higher.
uint64_t StepOf(DType dtype, uint64_t word, uint64_t random) {
  const unsigned mantissa = dtype == DType::kF32 ? 23 : dtype == DType::kBF16 ? 7 : 10;
  const unsigned exponents = dtype == DType::kF16 ? 31 : 255,
                 middle = dtype == DType::kF16 ? 8 : 120;
  const auto exponent = static_cast<unsigned>(word >> mantissa & exponents);
  const unsigned shift = std::min(exponent > middle ? exponent - middle : 0, 20u);
  const uint64_t most = (dtype == DType::kF32 ? uint64_t{1} << 14 : 16) >> shift;
  return 1 + random % (most + 1);
}

std::vector<std::byte> Changed(const Case& c, std::vector<std::byte> bytes) {
  std::mt19937_64 random(7);
  const size_t word_bytes = WordBytes(c.dtype), words = bytes.size() / word_bytes;
  for (size_t i = 0; i < words; ++i) {
    const bool is_changed = c.change == Change::kStretch
                                ? static_cast<double>(i) < c.fraction * static_cast<double>(words)
                                : static_cast<double>(random() >> 11) * 0x1p-53 < c.fraction;
    if (!is_changed) continue;
    uint64_t word = 0;
    std::memcpy(&word, &bytes[i * word_bytes], word_bytes);
    const uint64_t bits = random();
    word = c.change == Change::kReplace ? bits : word + StepOf(c.dtype, word, bits);
    std::memcpy(&bytes[i * word_bytes], &word, word_bytes);
  }
  return bytes;
}

uint64_t StoredBytes(Store& store, const Contents& contents, Profile profile, BaseChoice base) {
  static uint64_t step = 1;
  const auto report = Save(store, contents, {.step = ++step, .profile = profile, .base = base});
  EXPECT_TRUE(report) << report.error().message;
  return report ? report->roles.at(Role::kWeight).stored_bytes : 0;
}

void Check(const Case& c) {
  SCOPED_TRACE(testing::Message() << DTypeName(c.dtype) << " of " << WordsOf(c) << " "
                                  << test::ContentName(c.content) << ", change "
                                  << static_cast<int>(c.change) << " of " << c.fraction);
  MemoryFileSystem files;
  Store store = *Store::OpenOrCreate("/store", &files);
  const TensorInfo info{.name = "w", .dtype = c.dtype, .shape = c.shape, .role = Role::kWeight};
  const Contents base{
      {info, test::MakeContent(c.content, c.dtype, WordsOf(c) * WordBytes(c.dtype), 3)}};
  const Contents current{{info, Changed(c, base[0].second)}};
  ASSERT_TRUE(Save(store, base, {.step = 1}));
  const BaseChoice leaning{BaseChoice::Kind::kStep, 1}, alone{BaseChoice::Kind::kNone, 0};
  const uint64_t exact = StoredBytes(store, current, Profile::kExact, leaning);
  const uint64_t bitmask = StoredBytes(store, current, Profile::kPaper, leaning);
  const uint64_t planes = StoredBytes(store, current, Profile::kExact, alone);
  const uint64_t least = std::min(bitmask, planes);
  EXPECT_LE(exact, least + least / 200) << "bitmask " << bitmask << ", planes " << planes;
}

void CheckFractions(DType dtype, const std::vector<uint64_t>& shape, test::Content content) {
  for (Change change : {Change::kStep, Change::kStretch, Change::kReplace}) {
    for (double fraction : {0.0, 1e-5, 1e-3, 0.01, 0.1, 0.5, 0.9, 1.0}) {
      Check({dtype, shape, content, change, fraction});
    }
  }
}

class SmallestTest : public testing::TestWithParam<DType> {};

INSTANTIATE_TEST_SUITE_P(, SmallestTest, testing::Values(DType::kBF16, DType::kF16, DType::kF32),
                         [](const auto& each) { return std::string(DTypeName(each.param)); });

TEST_P(SmallestTest, SmallTensors) {
  for (test::Content content : test::kAllContents) {
    for (uint64_t words : {1, 1000}) CheckFractions(GetParam(), {words}, content);
  }
}

TEST_P(SmallestTest, TensorsOfSeveralBlocks) {
  for (test::Content content :
       {test::Content::kWeights, test::Content::kSpecials, test::Content::kRandomBits}) {
    CheckFractions(GetParam(), {700, 500}, content);
  }
}

TEST_P(SmallestTest, ATensorOfManyBlocks) {
  for (double fraction : {0.001, 0.1, 0.5}) {
    for (Change change : {Change::kStep, Change::kStretch}) {
      Check({GetParam(), {2500, 1000}, test::Content::kWeights, change, fraction});
    }
  }
}

}  // namespace
}  // namespace bitsnap
