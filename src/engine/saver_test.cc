#include <gmock/gmock.h>

#include <thread>

#include "engine/saver_test_util.h"
#include "io/fault.h"

namespace bitsnap {
namespace {

using namespace testing_util;
using testing::HasSubstr;

void Scribble(Contents& contents, std::byte with) {
  for (auto& [info, bytes] : contents) std::fill(bytes.begin(), bytes.end(), with);
}

TEST_F(SaverTest, WhatIsSavedIsWhatTheTensorsHeldWhenSaveWasCalled) {
  Saver saver = Start();
  Contents tensors = SmallState();  // one memory, overwritten again and again
  for (uint64_t step = 1; step <= 40; ++step) {
    const Contents state = SmallState(step, 20'003);
    tensors = state;
    ASSERT_TRUE(saver.Save(Views(tensors), At(step)));
    Scribble(tensors, std::byte{0xa5});
  }
  ASSERT_TRUE(saver.Wait());
  for (uint64_t step = 1; step <= 40; ++step) ExpectStep(store_, step, SmallState(step, 20'003));
}

TEST_F(SaverTest, SeveralThreadsMaySave) {
  Saver saver = Start();
  std::vector<std::thread> threads;
  for (uint64_t first : {0, 100, 200}) {
    threads.emplace_back([&, first] {
      for (uint64_t step = first + 1; step <= first + 10; ++step) {
        ASSERT_TRUE(saver.Save(Views(SmallState(step, 5'003)), At(step)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(saver.Wait());
  for (uint64_t first : {0, 100, 200}) {
    for (uint64_t step = first + 1; step <= first + 10; ++step) {
      ExpectStep(store_, step, SmallState(step, 5'003));
    }
  }
}

TEST_F(SaverTest, SaysHowFarItIs) {
  Saver saver = Start();
  EXPECT_FALSE(saver.last_durable_step());
  Gate gate;
  const Contents state = SmallState();
  const auto first = saver.Save(Views(state), gate.At(10));
  const auto second = saver.Save(Views(state), At(20));
  ASSERT_TRUE(second);
  EXPECT_EQ(first->step(), 10);
  EXPECT_EQ(saver.pending(), 2);
  EXPECT_FALSE(first->finished());
  EXPECT_FALSE(first->seconds_until_durable());
  EXPECT_EQ(second->progress().total, 0);  // queued

  gate.Open();
  const auto report = first->Wait();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->step, 10);
  EXPECT_EQ(first->progress().done, report->raw_bytes);
  EXPECT_EQ(first->progress().total, report->raw_bytes);
  EXPECT_GE(*first->seconds_until_durable(), first->staging().blocked_seconds);
  EXPECT_EQ(first->staging().waited_seconds, 0);
  EXPECT_FALSE(first->staging().skipped);
  ASSERT_TRUE(saver.Wait());
  EXPECT_TRUE(second->finished());
  EXPECT_EQ(saver.pending(), 0);
  EXPECT_EQ(saver.last_durable_step(), 20);
}

TEST_F(SaverTest, SaysAtOnceWhatIsWrongWithTheCall) {
  Saver saver = Start();
  Contents state = SmallState(1, 100);
  Gate gate;
  ASSERT_TRUE(saver.Save(Views(state), gate.At(1)));
  EXPECT_EQ(saver.Save(Views(state), At(1)).error().kind, ErrorKind::kAlreadyExists);  // queued
  gate.Open();
  ASSERT_TRUE(saver.Wait());
  EXPECT_EQ(saver.Save(Views(state), At(1)).error().kind, ErrorKind::kAlreadyExists);  // on disk
  state[0].second.pop_back();
  const auto wrong = saver.Save(Views(state), At(2));
  EXPECT_EQ(wrong.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(wrong.error().message, HasSubstr("model.w"));
  EXPECT_TRUE(saver.Wait());
  EXPECT_EQ(saver.last_durable_step(), 1);
}

TEST_F(SaverTest, AStepMayBeReplacedWhileItIsQueued) {
  Saver saver = Start();
  Gate gate;
  ASSERT_TRUE(saver.Save(Views(SmallState(1, 100)), gate.At(1)));
  SaveOptions again = At(1);
  again.overwrite = true;
  ASSERT_TRUE(saver.Save(Views(SmallState(2, 100)), again));
  gate.Open();
  ASSERT_TRUE(saver.Wait());
  ExpectStep(store_, 1, SmallState(2, 100));
}

class FailingSaverTest : public SaverTest {
 protected:
  FailingSaverTest() { state_ = SmallState(1, 1'000); }

  // A save of `step` that finds no space; returns when it has failed.
  SaveTicket Fail(uint64_t step) {
    Gate gate;
    auto ticket = saver_.Save(Views(state_), gate.At(step));
    gate.WaitUntilReached();  // so that the fault hits what is written, not the checks before
    fs_.Set(Fault{.at = 1, .kind = ErrorKind::kOutOfSpace, .lasting = true});
    gate.Open();
    while (saver_.pending() > 0) std::this_thread::yield();
    fs_.Set({});
    return *ticket;
  }

  FaultFileSystem fs_{&PosixFileSystem()};
  Store failing_ = *Store::Open(store_.directory(), &fs_);
  Saver saver_ = *Saver::Start(failing_);
  Contents state_;
};

TEST_F(FailingSaverTest, AFailureIsRaisedOnceByTheNextCall) {
  Fail(1);
  const auto next = saver_.Save(Views(state_), At(2));
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().kind, ErrorKind::kOutOfSpace);
  EXPECT_THAT(next.error().message, HasSubstr("step 1 could not be saved in the background: "));
  EXPECT_FALSE(saver_.last_durable_step());
  ASSERT_TRUE(saver_.Save(Views(state_), At(2)));
  ASSERT_TRUE(saver_.Wait());
  EXPECT_EQ(saver_.last_durable_step(), 2);
  ExpectStep(store_, 2, state_);
  EXPECT_EQ(store_.OpenStep(1).error().kind, ErrorKind::kNotFound);
}

TEST_F(FailingSaverTest, AFailureIsRaisedByWaitAndByClose) {
  Fail(1);
  EXPECT_EQ(saver_.Wait().error().kind, ErrorKind::kOutOfSpace);
  EXPECT_TRUE(saver_.Wait());
  Fail(2);
  EXPECT_EQ(saver_.Close().error().kind, ErrorKind::kOutOfSpace);
  EXPECT_TRUE(saver_.Close());
}

TEST_F(FailingSaverTest, AFailureThatATicketToldIsNotRaisedAgain) {
  const SaveTicket ticket = Fail(1);
  EXPECT_TRUE(ticket.finished());
  EXPECT_EQ(ticket.Wait().error().kind, ErrorKind::kOutOfSpace);
  EXPECT_FALSE(ticket.seconds_until_durable());
  EXPECT_TRUE(saver_.Wait());
}

TEST_F(FailingSaverTest, SavesBehindAFailedOneGoOn) {
  Gate gate;
  ASSERT_TRUE(saver_.Save(Views(state_), gate.At(1)));
  const auto second = saver_.Save(Views(state_), At(2));
  gate.WaitUntilReached();
  fs_.Set(Fault{.at = 1, .kind = ErrorKind::kIo});
  gate.Open();
  EXPECT_TRUE(second->Wait());
  const auto waited = saver_.Wait();
  ASSERT_FALSE(waited);
  EXPECT_THAT(waited.error().message, HasSubstr("step 1 "));
  ExpectStep(store_, 2, state_);
}

}  // namespace
}  // namespace bitsnap
