// Shared by the store's tests: small training states and what restoring them gives.
#pragma once

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bitsnap/store.h>

namespace bitsnap::testing_util {

using Contents = std::vector<std::pair<TensorInfo, std::vector<std::byte>>>;

inline std::vector<std::byte> Noise(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> noise(bytes);
  for (std::byte& each : noise) each = static_cast<std::byte>(random());
  return noise;
}

// bf16 values drawn from N(0, 0.02).
inline std::vector<std::byte> Weights(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<std::byte> bytes(2 * count);
  for (size_t i = 0; i < count; ++i) {
    const float value = normal(random);
    std::memcpy(bytes.data() + 2 * i, reinterpret_cast<const char*>(&value) + 2, 2);
  }
  return bytes;
}

// A weight of several blocks, its fp32 moments, a scalar, an empty tensor and a counter.
inline Contents SmallState(uint64_t seed = 1, size_t count = 200'003) {
  const auto floats = [&](uint64_t salt) {
    std::mt19937_64 random(seed + salt);
    std::normal_distribution<float> normal(0, 1e-4f);
    std::vector<std::byte> bytes(4 * count);
    for (size_t i = 0; i < count; ++i) {
      const float value = normal(random);
      std::memcpy(bytes.data() + 4 * i, &value, 4);
    }
    return bytes;
  };
  return {
      {{"model.w", DType::kBF16, {count}}, Weights(count, seed)},
      {{"optimizer.state.w.exp_avg", DType::kF32, {count}}, floats(1)},
      {{"optimizer.state.w.exp_avg_sq", DType::kF32, {1, count}}, floats(2)},
      {{"optimizer.state.w.step", DType::kF32, {}}, Noise(4, seed)},
      {{"empty", DType::kF64, {0, 3}}, {}},
      {{"rng", DType::kU8, {77}}, Noise(77, seed)},
  };
}

// The same with one weight in a hundred changed and everything else as it was.
inline Contents Step(Contents state, uint64_t seed) {
  std::mt19937_64 random(seed);
  auto& weight = state[0].second;
  for (size_t i = 0; i < weight.size(); i += 2) {
    if (random() % 100 == 0) weight[i] ^= std::byte{1};
  }
  return state;
}

inline std::vector<TensorView> Views(const Contents& contents) {
  std::vector<TensorView> views;
  for (const auto& [info, bytes] : contents) views.push_back({info, bytes});
  return views;
}

inline Result<SaveReport> Save(Store& store, const Contents& contents, SaveOptions options) {
  if (options.threads == 0) options.threads = 1;
  return store.Save(Views(contents), options);
}

inline Result<Contents> ReadAll(const Snapshot& snapshot, unsigned threads = 1) {
  Contents contents;
  for (const StoredTensor& tensor : snapshot.tensors()) {
    contents.push_back({tensor.info, std::vector<std::byte>(tensor.raw_bytes)});
  }
  std::vector<ReadRequest> requests;
  for (size_t i = 0; i < contents.size(); ++i) requests.push_back({i, 0, contents[i].second});
  auto read = snapshot.Read(requests, threads);
  if (!read) return tl::make_unexpected(read.error());
  return contents;
}

// Names, dtypes, shapes and every byte.
inline void ExpectSame(const Contents& got, const Contents& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].first.name, want[i].first.name);
    EXPECT_EQ(got[i].first.dtype, want[i].first.dtype);
    EXPECT_EQ(got[i].first.shape, want[i].first.shape);
    EXPECT_TRUE(got[i].second == want[i].second) << want[i].first.name << " differs";
  }
}

inline void ExpectStep(const Store& store, uint64_t step, const Contents& want, uint32_t rank = 0) {
  const auto snapshot = store.OpenStep(step, rank);
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  const auto got = ReadAll(*snapshot);
  ASSERT_TRUE(got) << got.error().message;
  ExpectSame(*got, want);
}

}  // namespace bitsnap::testing_util
