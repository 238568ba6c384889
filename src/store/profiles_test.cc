// What each profile promises, on a small state with 16-bit weights, masters and Adam's moments.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "codec/adam/sampled_run.h"
#include "io/memory.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

constexpr uint64_t kRows = 300, kColumns = 257;  // several blocks, none of them full at the end

float FloatAt(const std::vector<std::byte>& bytes, size_t i) {
  float value;
  std::memcpy(&value, bytes.data() + 4 * i, 4);
  return value;
}

std::vector<std::byte> ToBytes(const std::vector<float>& values) {
  std::vector<std::byte> bytes(4 * values.size());
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<std::byte> RoundToBf16(const std::vector<float>& values) {
  std::vector<std::byte> bytes(2 * values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<uint32_t>(values[i]);
    const auto half = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    std::memcpy(bytes.data() + 2 * i, &half, 2);
  }
  return bytes;
}

// A training run of one parameter whose gradients are noise of row- and column-wise scales.
class Training {
 public:
  Training() : random_(3), master_(kRows * kColumns), m_(master_.size()), v_(master_.size()) {
    for (float& weight : master_) weight = 0.02f * normal_(random_);
  }

  void Run(int steps, float rate) {
    for (; steps > 0; --steps) {
      for (size_t i = 0; i < master_.size(); ++i) {
        const float scale = 1e-3f * (1 + static_cast<float>(i / kColumns % 7)) *
                            (1 + static_cast<float>(i % kColumns % 5));
        const float gradient = i % 50 == 0 ? 0 : scale * normal_(random_);
        m_[i] = 0.9f * m_[i] + 0.1f * gradient;
        v_[i] = 0.95f * v_[i] + 0.05f * gradient * gradient;
        master_[i] -= rate * m_[i] / (std::sqrt(v_[i]) + 1e-8f);
      }
    }
  }

  // The second moment first, so that the pair's first is not always before its second.
  Contents State() const {
    const std::vector<uint64_t> shape = {kRows, kColumns};
    return {
        {{"optimizer.state.w.exp_avg_sq", DType::kF32, shape}, ToBytes(v_)},
        {{"optimizer.state.w.exp_avg", DType::kF32, shape}, ToBytes(m_)},
        {{"optimizer.state.w.master", DType::kF32, shape}, ToBytes(master_)},
        {{"model.w", DType::kBF16, shape}, RoundToBf16(master_)},
        {{"optimizer.state.alone.exp_avg", DType::kF32, shape}, ToBytes(m_)},
    };
  }

 private:
  std::mt19937 random_;
  std::normal_distribution<float> normal_;
  std::vector<float> master_, m_, v_;
};

double UpdateError(const Contents& want, const Contents& got) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < kRows * kColumns; ++i) {
    const auto update = [i](const Contents& state) {
      return FloatAt(state[1].second, i) / (std::sqrt(double{FloatAt(state[0].second, i)}) + 1e-8);
    };
    error += std::pow(update(want) - update(got), 2);
    norm += std::pow(update(want), 2);
  }
  return std::sqrt(error / norm);
}

double LargestMasterError(const Contents& want, const Contents& got) {
  double largest = 0;
  for (size_t i = 0; i < kRows * kColumns; ++i) {
    const double x = FloatAt(want[2].second, i);
    if (x != 0)
      largest = std::max(largest, std::fabs(x - FloatAt(got[2].second, i)) / std::fabs(x));
  }
  return largest;
}

struct Promise {
  Profile profile;
  double update_error;
  double master_error;
  double ratio;  // at least, of the delta below
};

class ProfileTest : public testing::TestWithParam<Promise> {
 protected:
  void ExpectPromiseKept(const Store& store, uint64_t step, const Contents& want) {
    const auto snapshot = store.OpenStep(step);
    ASSERT_TRUE(snapshot) << snapshot.error().message;
    const auto got = ReadAll(*snapshot, 2);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_TRUE((*got)[3].second == want[3].second) << "weights must be bit-exact";
    EXPECT_TRUE((*got)[4].second == want[4].second) << "half a pair must be bit-exact";
    const double update_error = UpdateError(want, *got);
    EXPECT_LE(update_error, GetParam().update_error);
    EXPECT_LE(LargestMasterError(want, *got), GetParam().master_error);
    if (GetParam().update_error == 0) return ExpectSame(*got, want);
    for (size_t tensor : {0, 1}) {
      const StoredTensor& stored = snapshot->tensors()[tensor];
      ASSERT_EQ(stored.error.size(), 2u);
      EXPECT_EQ(stored.error[0].name, "update_error");
      EXPECT_NEAR(stored.error[0].value, update_error, 1e-5 * update_error);
      EXPECT_EQ(stored.error[1].name, "update_length");
      EXPECT_NEAR(stored.error[1].value, 1, 0.02);
    }
  }

  MemoryFileSystem fs_;
};

TEST_P(ProfileTest, KeepsItsPromiseAloneAndAsDelta) {
  Store store = *Store::OpenOrCreate("/s", &fs_);
  Training training;
  training.Run(30, 1e-4f);
  const Contents first = training.State();
  const auto base = Save(store, first, {.step = 1, .profile = GetParam().profile});
  ASSERT_TRUE(base) << base.error().message;
  training.Run(1, 1e-5f);
  const Contents second = training.State();
  const BaseChoice lean{BaseChoice::Kind::kStep, 1};
  const auto delta =
      Save(store, second, {.step = 2, .profile = GetParam().profile, .base = lean, .threads = 3});
  ASSERT_TRUE(delta) << delta.error().message;
  EXPECT_EQ(delta->base_step, 1u);
  EXPECT_GE(static_cast<double>(delta->raw_bytes) / static_cast<double>(delta->stored_bytes),
            GetParam().ratio);
  ExpectPromiseKept(store, 1, first);
  ExpectPromiseKept(store, 2, second);
  EXPECT_TRUE(store.Verify()->broken.empty());
}

TEST_P(ProfileTest, LeansOnABaseOfAnyOtherProfile) {
  Training training;
  training.Run(30, 1e-4f);
  const Contents first = training.State();
  training.Run(1, 1e-5f);
  const Contents second = training.State();
  for (Profile base : AllProfiles()) {
    Store store = *Store::OpenOrCreate(std::string("/") + std::string(ProfileName(base)), &fs_);
    ASSERT_TRUE(Save(store, first, {.step = 1, .profile = base}));
    const BaseChoice lean{BaseChoice::Kind::kStep, 1};
    ASSERT_TRUE(Save(store, second, {.step = 2, .profile = GetParam().profile, .base = lean}));
    ExpectPromiseKept(store, 2, second);
  }
}

bool IsLossy(Profile profile) { return profile != Profile::kExact && profile != Profile::kFast; }

// In which form a pair leans on which base, and that it does not where nothing is gained.
TEST_P(ProfileTest, MomentsLeanOnTheIndicesOfTheSameProfile) {
  if (!IsLossy(GetParam().profile)) return;
  Training training;
  training.Run(30, 1e-4f);
  const Contents first = training.State();
  training.Run(3, 1e-5f);
  const Contents near = training.State();
  Training other;
  other.Run(500, 1e-5f);  // no trace of the first but where rows and columns are large
  Contents far = other.State();
  for (size_t i : {2, 3}) far[i].second = near[i].second;
  const BaseChoice lean{BaseChoice::Kind::kStep, 1};
  for (Profile base : {GetParam().profile, Profile::kExact}) {
    Store store = *Store::OpenOrCreate(std::string("/") + std::string(ProfileName(base)), &fs_);
    ASSERT_TRUE(Save(store, first, {.step = 1, .profile = base}));
    uint64_t step = 2;
    const auto save = [&](const Contents& state) {
      const SaveOptions options{.step = step, .profile = GetParam().profile, .base = lean};
      EXPECT_TRUE(Save(store, state, options));
      ExpectPromiseKept(store, step, state);
      return *store.OpenStep(step++);
    };
    const bool same = base == GetParam().profile;
    const Snapshot moved = save(near);
    for (size_t i : {0, 1}) EXPECT_EQ(moved.tensors()[i].codec, same ? "adam_delta" : "adam");
    if (!same) continue;
    const Snapshot unchanged = save(first);
    if (GetParam().profile != Profile::kTiny) {
      EXPECT_LT(unchanged.tensors()[0].stored_bytes, first[0].second.size() / 150);
    }
    for (size_t i : {0, 1}) EXPECT_EQ(save(far).tensors()[i].codec, "adam");
    EXPECT_TRUE(store.Verify()->broken.empty());
  }
  EXPECT_TRUE(Store::Open("/exact", &fs_)->Verify()->broken.empty());
}

// Each half of a pair, and a master without its weight, byte range by byte range.
TEST_P(ProfileTest, ReadsPartsOfWhatLeansOnOthers) {
  Store store = *Store::OpenOrCreate("/s", &fs_);
  Training training;
  training.Run(10, 1e-4f);
  ASSERT_TRUE(Save(store, training.State(), {.step = 1, .profile = GetParam().profile}));
  const auto snapshot = store.OpenStep(1);
  const auto whole = ReadAll(*snapshot);
  for (size_t tensor = 0; tensor < whole->size(); ++tensor) {
    const auto& bytes = (*whole)[tensor].second;
    for (size_t begin : {size_t{0}, size_t{131071}, size_t{131072}, bytes.size() - 5}) {
      std::vector<std::byte> out(std::min<size_t>(140'000, bytes.size() - begin));
      const ReadRequest request{tensor, begin, out};
      ASSERT_TRUE(snapshot->Read({&request, 1}, 1));
      EXPECT_TRUE(std::equal(out.begin(), out.end(), bytes.begin() + begin)) << tensor;
    }
  }
}

// Tied parameters: a second weight with moments of its own, all of the same bytes.
TEST_P(ProfileTest, CopiesOfAPairCostNothing) {
  Store store = *Store::OpenOrCreate("/s", &fs_);
  Training training;
  training.Run(10, 1e-4f);
  Contents state = training.State();
  for (size_t i = 0; i < 4; ++i) {
    state.push_back(state[i]);
    std::string& name = state.back().first.name;
    name.replace(name.find('w'), 1, "tied");
  }
  ASSERT_EQ(state.back().first.name, "model.tied");
  ASSERT_TRUE(Save(store, state, {.step = 1, .profile = GetParam().profile}));
  const auto snapshot = store.OpenStep(1);
  for (size_t i : {5, 6, 8}) {
    EXPECT_EQ(snapshot->tensors()[i].stored_bytes, 0u) << snapshot->tensors()[i].info.name;
  }
  const auto got = ReadAll(*snapshot);
  for (size_t i : {0, 1, 3}) EXPECT_TRUE((*got)[i].second == (*got)[i + 5].second);
}

// A pair whose updates are large only where the encoder looks before it codes: adam/sample.cc and
// adam/prepare.cc.
Contents Unforeseen(const std::string& name) {
  constexpr uint64_t kCount = 1 << 18, kRun = 64;
  std::vector<bool> looked_at(kCount / kRun);
  for (size_t r = 0; r < 128; ++r) looked_at[adam::SampledRun(kCount / kRun, r, 128)] = true;
  for (size_t r = 0; r < 512; ++r) {
    const uint64_t run = 2 * adam::SampledRun(kCount / kRun / 2, r, 512);
    looked_at[run] = looked_at[run + 1] = true;
  }
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> v(kCount), m(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    v[i] = 1e-8f * std::exp(0.3f * normal(random));
    const float size = looked_at[i / kRun] ? 0.3f : 0.05f;
    m[i] = size * normal(random) * std::sqrt(v[i]);
  }
  return {{{"optimizer.state." + name + ".exp_avg_sq", DType::kF32, {kCount}}, ToBytes(v)},
          {{"optimizer.state." + name + ".exp_avg", DType::kF32, {kCount}}, ToBytes(m)}};
}

TEST_P(ProfileTest, KeepsExactlyWhatComesOutTooFarOff) {
  Training training;
  training.Run(10, 1e-4f);
  Contents state;
  for (const auto& part : {Unforeseen("a"), training.State(), Unforeseen("copy")}) {
    state.insert(state.end(), part.begin(), part.end());
  }
  Store store = *Store::OpenOrCreate("/s", &fs_);
  for (unsigned threads : {1, 2}) {
    const auto saved =
        Save(store, state, {.step = threads, .profile = GetParam().profile, .threads = threads});
    ASSERT_TRUE(saved) << saved.error().message;
  }
  const bool fine = IsLossy(GetParam().profile) && GetParam().profile != Profile::kTiny;
  for (uint64_t step : {1, 2}) {
    const auto snapshot = store.OpenStep(step);
    const auto got = ReadAll(*snapshot);
    ASSERT_TRUE(got) << got.error().message;
    for (size_t i = 0; i < state.size() && fine; i == 1 ? i = 7 : ++i) {
      EXPECT_TRUE((*got)[i].second == state[i].second) << i;
      EXPECT_TRUE(snapshot->tensors()[i].error.empty()) << i;
      const char* why = i >= 7 ? "the same" : step == 1 ? "kept exactly" : "unchanged";
      EXPECT_NE(snapshot->tensors()[i].why.find(why), std::string::npos)
          << snapshot->tensors()[i].why;
    }
    EXPECT_TRUE((*got)[5].second == state[5].second);
  }
  EXPECT_TRUE(store.Verify()->broken.empty());
}

INSTANTIATE_TEST_SUITE_P(Profiles, ProfileTest,
                         testing::Values(Promise{Profile::kExact, 0, 0, 1.5},
                                         Promise{Profile::kFast, 0, 0, 1.0},
                                         Promise{Profile::kHigh, 0.0025, 0x1p-16, 2.5},
                                         Promise{Profile::kBalanced, 0.012, 0x1p-16, 2.7},
                                         Promise{Profile::kCompact, 0.05, 0x1p-13, 3.2},
                                         Promise{Profile::kTiny, 0.35, 0x1p-10, 3.6}),
                         [](const auto& test) {
                           return std::string(ProfileName(test.param.profile));
                         });

}  // namespace
}  // namespace bitsnap
