// Ends of every kind: closing, destruction, fork and SIGKILL.
#include <gmock/gmock.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "engine/saver_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;
using testing::HasSubstr;

TEST_F(SaverTest, CloseFinishesWhatIsQueued) {
  Saver saver = Start();
  const Contents state = SmallState();
  for (uint64_t step : {1, 2, 3}) ASSERT_TRUE(saver.Save(Views(state), At(step)));
  ASSERT_TRUE(saver.Close());
  EXPECT_EQ(saver.last_durable_step(), 3);
  ExpectStep(store_, 3, state);
  const auto late = saver.Save(Views(state), At(4));
  EXPECT_EQ(late.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(late.error().message, HasSubstr("closed"));
}

TEST_F(SaverTest, DestructionFinishesWhatIsQueuedAndTicketsOutliveIt) {
  const Contents state = SmallState();
  std::optional<SaveTicket> ticket;
  {
    Saver saver = Start();
    ticket = *saver.Save(Views(state), At(1));
    Saver moved = std::move(saver);
    ASSERT_TRUE(moved.Save(Views(state), At(2)));
  }
  EXPECT_TRUE(ticket->finished());
  EXPECT_EQ(ticket->Wait()->step, 1);
  ExpectStep(store_, 2, state);
}

// Runs `body` in a child process; returns its exit status once it is gone.
template <class Body>
int InChild(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(SaverTest, AChildOfForkGetsAnErrorAndMayStartItsOwn) {
  const Contents state = SmallState();
  Gate gate;
  auto saver = std::make_optional(Start());
  const auto ticket = saver->Save(Views(state), gate.At(1));
  EXPECT_EQ(InChild([&] {
              const bool refused =
                  saver->Save(Views(state), At(2)).error().kind == ErrorKind::kInvalidArgument &&
                  saver->Wait().error().kind == ErrorKind::kInvalidArgument &&
                  ticket->Wait().error().kind == ErrorKind::kInvalidArgument;
              saver.reset();  // must not wait for a thread that is not here
              return refused;
            }),
            0);
  gate.Open();
  EXPECT_TRUE(ticket->Wait());
}

constexpr size_t kCount = 30'011;

// Saves steps 1, 2, 3, … until it is killed, and writes each step to `told` once it is durable.
[[noreturn]] void SaveForEver(const Store& store, int told) {
  Saver saver = *Saver::Start(store);
  Contents tensors = SmallState(1, kCount);
  for (uint64_t step = 1;; ++step) {
    tensors = SmallState(step, kCount);
    if (!saver.Save(Views(tensors), {.step = step, .threads = 1})) _exit(1);
    if (const auto durable = saver.last_durable_step()) {
      if (write(told, &*durable, sizeof(*durable)) != sizeof(*durable)) _exit(1);
    }
  }
}

// The next step that comes through the pipe; 0 when there is none.
uint64_t NextTold(int pipe) {
  uint64_t step = 0;
  return read(pipe, &step, sizeof(step)) == sizeof(step) ? step : 0;
}

TEST_F(SaverTest, KilledAtAnyInstantItLeavesTheLastDurableStep) {
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    const Store store = *Store::OpenOrCreate(directory_.path() / std::to_string(round));
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) SaveForEver(store, ends[1]);
    close(ends[1]);
    // Every other round when something is durable, however slow the machine is.
    uint64_t durable = round % 2 == 0 ? NextTold(ends[0]) : 0;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 150'000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    while (const uint64_t told = NextTold(ends[0])) durable = told;
    close(ends[0]);

    Contents got;
    const auto step = store.RestoreNewest(0, [&](const Snapshot& snapshot) -> Result<void> {
      auto read = ReadAll(snapshot);
      if (!read) return tl::make_unexpected(read.error());
      got = *std::move(read);
      return {};
    });
    if (!step) {
      EXPECT_EQ(durable, 0) << step.error().message;
      continue;
    }
    EXPECT_GE(*step, durable);
    ExpectSame(got, SmallState(*step, kCount));
  }
}

}  // namespace
}  // namespace bitsnap
