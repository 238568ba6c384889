// Saving and reading in bounded memory, measured on the real process.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "io/test_directory.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A field of /proc/self/status in bytes, e.g. "VmHWM": the largest resident size so far.
uint64_t StatusBytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    uint64_t kibibytes = 0;
    if (name == field + ":" && status >> kibibytes) return kibibytes << 10;
    status.ignore(1000, '\n');
  }
  return 0;
}

// How far resident memory rises above where it is now while `work` runs.
template <class Work>
uint64_t ExtraMemory(Work&& work) {
  std::ofstream("/proc/self/clear_refs") << "5";  // resets VmHWM
  const uint64_t before = StatusBytes("VmRSS");
  work();
  return StatusBytes("VmHWM") - std::min(before, StatusBytes("VmHWM"));
}

TEST(StoreMemory, StaysWithin64MiBForEachThread) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr uint64_t kShadow = 3;  // sanitizers keep memory of their own
#else
  constexpr uint64_t kShadow = 1;
#endif
  const TestDirectory directory;
  Store store = *Store::OpenOrCreate(directory.path() / "store");
  const Contents first = SmallState(1, 16 * kMiB), second = Step(first, 2);  // 160 MiB each
  for (unsigned threads : {1u, 2u}) {
    const uint64_t bound = kShadow * threads * 64 * kMiB;
    SaveOptions options{.step = 10 * threads, .base = {BaseChoice::Kind::kNone}};
    options.threads = threads;
    EXPECT_LT(ExtraMemory([&] { ASSERT_TRUE(Save(store, first, options)); }), bound);
    options.step += 1;
    options.base = {};
    EXPECT_LT(ExtraMemory([&] {
                const auto report = Save(store, second, options);
                ASSERT_TRUE(report) << report.error().message;
                EXPECT_TRUE(report->base_step);
              }),
              bound);
  }
  const auto snapshot = store.OpenStep(11);
  std::vector<std::byte> out(first[0].second.size(), std::byte{1});
  const ReadRequest request{*snapshot->Find("model.w"), 0, out};
  EXPECT_LT(ExtraMemory([&] {
              ASSERT_TRUE(snapshot->Read({&request, 1}, 1));
            }),
            kShadow * 64 * kMiB);
  EXPECT_TRUE(out == second[0].second);
}

}  // namespace
}  // namespace bitsnap
