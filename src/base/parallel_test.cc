#include "base/parallel.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <new>
#include <thread>
#include <vector>

namespace bitsnap {
namespace {

TEST(RunOrdered, ConsumesInOrderWhateverTheThreadsAndSlots) {
  for (unsigned threads : {1u, 2u, 5u}) {
    for (size_t slots : {1u, 2u, 7u}) {
      std::vector<size_t> ring(slots), seen;
      const auto result = RunOrdered({
          .count = 200,
          .threads = threads,
          .slots = slots,
          .produce = [&](size_t item, size_t slot, unsigned) -> Result<void> {
            ring[slot] = item * item;
            return {};
          },
          .consume = [&](size_t, size_t slot) -> Result<void> {
            seen.push_back(ring[slot]);
            return {};
          },
      });
      ASSERT_TRUE(result);
      ASSERT_EQ(seen.size(), 200u);
      for (size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], i * i);
    }
  }
}

TEST(RunOrdered, StopsAtAnErrorOfEitherSide) {
  for (bool in_consume : {false, true}) {
    std::atomic<size_t> consumed = 0;
    const auto fail_at_50 = [](size_t item) -> Result<void> {
      if (item == 50) return Fail(ErrorKind::kIo, "item 50");
      return {};
    };
    const auto result = RunOrdered({
        .count = 1000,
        .threads = 3,
        .slots = 4,
        .produce = [&](size_t item, size_t, unsigned) -> Result<void> {
          return in_consume ? Result<void>{} : fail_at_50(item);
        },
        .consume = [&](size_t item, size_t) -> Result<void> {
          if (in_consume) {
            if (auto failed = fail_at_50(item); !failed) return failed;
          }
          ++consumed;
          return {};
        },
    });
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, "item 50");
    EXPECT_LE(consumed, 50u);
  }
}

TEST(RunOrdered, TurnsBadAllocIntoAnError) {
  const auto result = RunOrdered({
      .count = 3,
      .threads = 2,
      .slots = 2,
      .produce = [](size_t, size_t, unsigned) -> Result<void> { throw std::bad_alloc(); },
      .consume = [](size_t, size_t) -> Result<void> { return {}; },
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kOutOfMemory);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need the memory
[[noreturn]] void RunWithoutRoomForThreads() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit;
  limit.rlim_cur = limit.rlim_max =
      pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + (2 << 20);
  setrlimit(RLIMIT_AS, &limit);  // a thread's stack takes 8 MiB
  size_t consumed = 0;
  OrderedWork work;
  work.count = 20;
  work.slots = 4;
  work.threads = 8;
  work.produce = [](size_t, size_t, unsigned) -> Result<void> { return {}; };
  work.consume = [&](size_t, size_t) -> Result<void> {
    ++consumed;
    return {};
  };
  _exit(RunOrdered(work) && consumed == 20 ? 0 : 1);
}

TEST(RunOrdered, GoesOnWithTheThreadsThatThereAre) {
  EXPECT_EXIT(RunWithoutRoomForThreads(), ::testing::ExitedWithCode(0), "");
}
#endif

TEST(ThreadCount, IsWhatIsAskedForOrTheCoresThatMayBeUsed) {
  EXPECT_EQ(ThreadCount(7), 7);
  std::thread pinned([] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(ThreadCount(0), 1);
  });
  pinned.join();
}

TEST(RunOrdered, NothingToDoIsDone) { EXPECT_TRUE(RunOrdered({})); }

}  // namespace
}  // namespace bitsnap
