// Saving and reading in bounded memory, measured on the real process.
#include <gtest/gtest.h>

#include "base/test_memory.h"
#include "io/test_directory.h"
#include "store/store_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(StoreMemory, StaysWithin64MiBForEachThread) {
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
