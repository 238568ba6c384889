// Many small tensors of one kind are judged by some of them; the others must not lose by it.
#include <gtest/gtest.h>

#include "io/memory.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using testing_util::Contents;

constexpr size_t kTensors = 12, kCount = 30'000;

// Tensors named 0, 1, …; those whose number is a multiple of kLeaderOneIn lead.
Contents Tensors(const char* suffix, uint64_t seed) {
  Contents contents;
  for (size_t i = 0; i < kTensors; ++i) {
    contents.push_back({{std::to_string(i) + suffix, DType::kBF16, {kCount}},
                        testing_util::Weights(kCount, seed + i)});
  }
  return contents;
}

// The codecs of each tensor of `later`, saved with `first` as base.
std::vector<std::string> CodecsOf(const Contents& first, const Contents& later) {
  MemoryFileSystem file_system;
  Store store = *Store::OpenOrCreate("/store", &file_system);
  EXPECT_TRUE(testing_util::Save(store, first, {.step = 1}));
  SaveOptions options{.step = 2};
  options.base = {BaseChoice::Kind::kStep, 1};
  EXPECT_TRUE(testing_util::Save(store, later, options));
  testing_util::ExpectStep(store, 2, later);
  std::vector<std::string> codecs;
  const auto snapshot = store.OpenStep(2);
  for (const StoredTensor& tensor : snapshot->tensors()) codecs.push_back(tensor.codec);
  return codecs;
}

TEST(Sample, FrozenTensorsAmongChangedOnesAreSeen) {
  const Contents first = Tensors(".weight", 1);
  Contents later = Tensors(".weight", 100);
  for (size_t frozen : {6, 7}) later[frozen] = first[frozen];
  const auto codecs = CodecsOf(first, later);
  for (size_t i = 0; i < kTensors; ++i) {
    EXPECT_EQ(codecs[i], i == 6 || i == 7 ? "same as base" : "planes") << i;
  }
}

TEST(Sample, WhatPaysForSomePaysForTheOthers) {
  const Contents first = Tensors(".weight", 1);
  Contents later = first;
  for (auto& [info, bytes] : later) {
    for (size_t i = 0; i < bytes.size(); i += 20) bytes[i] ^= std::byte{1};
  }
  for (const std::string& codec : CodecsOf(first, later)) EXPECT_EQ(codec, "delta");
}

}  // namespace
}  // namespace bitsnap
