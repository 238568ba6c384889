// The bound on memory and what happens at it.
#include <gmock/gmock.h>

#include <limits>
#include <thread>

#include "base/test_memory.h"
#include "engine/manifest.h"
#include "engine/saver_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;
using testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;

uint64_t RawBytes(const Contents& contents) {
  uint64_t bytes = 0;
  for (const auto& [info, content] : contents) bytes += content.size();
  return bytes;
}

class BoundTest : public SaverTest {
 protected:
  // Room for one copy of `state_`, and not for two.
  Saver StartSmall(OnBusy on_busy) {
    return Start({.max_memory = RawBytes(state_) * 3 / 2, .on_busy = on_busy});
  }

  const Contents state_ = SmallState();
};

TEST_F(BoundTest, WaitsForRoomAndSaysHowLong) {
  Saver saver = StartSmall(OnBusy::kWait);
  Gate gate;
  ASSERT_TRUE(saver.Save(Views(state_), gate.At(1)));
  std::jthread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    gate.Open();
  });
  const auto second = saver.Save(Views(state_), At(2));
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_GT(second->staging().waited_seconds, 0);
  EXPECT_GE(second->staging().blocked_seconds, second->staging().waited_seconds);
  EXPECT_TRUE(second->Wait());
  EXPECT_TRUE(saver.Wait());
}

TEST_F(BoundTest, SkipsAndSaysSo) {
  Saver saver = StartSmall(OnBusy::kSkip);
  Gate gate;
  ASSERT_TRUE(saver.Save(Views(state_), gate.At(1)));
  const auto second = saver.Save(Views(state_), At(2));
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->staging().skipped);
  EXPECT_TRUE(second->finished());
  EXPECT_EQ(second->Wait().error().kind, ErrorKind::kCancelled);
  gate.Open();
  ASSERT_TRUE(saver.Wait());  // a skipped save is no failure
  ASSERT_TRUE(saver.Save(Views(state_), At(3)));
  ASSERT_TRUE(saver.Close());
  EXPECT_EQ(store_.OpenStep(2).error().kind, ErrorKind::kNotFound);
  ExpectStep(store_, 3, state_);
}

TEST_F(BoundTest, FailsWhenTold) {
  Saver saver = StartSmall(OnBusy::kError);
  Gate gate;
  ASSERT_TRUE(saver.Save(Views(state_), gate.At(1)));
  const auto second = saver.Save(Views(state_), At(2));
  EXPECT_EQ(second.error().kind, ErrorKind::kBusy);
  EXPECT_THAT(second.error().message, HasSubstr("raise max_memory"));
  gate.Open();
  ASSERT_TRUE(saver.Wait());
  EXPECT_TRUE(saver.Save(Views(state_), At(2)));
}

TEST_F(BoundTest, WaitingForRoomCanBeStopped) {
  Saver saver = StartSmall(OnBusy::kWait);
  Gate gate;
  const auto first = saver.Save(Views(state_), gate.At(1));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(saver.Save(Views(state_), At(2), stop.get_token()).error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(first->Wait(stop.get_token()).error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(saver.Wait(stop.get_token()).error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(saver.Close(stop.get_token()).error().kind, ErrorKind::kCancelled);
  gate.Open();
  EXPECT_TRUE(first->Wait());
  EXPECT_TRUE(saver.Save(Views(state_), At(2)));
}

TEST_F(BoundTest, AStateLargerThanTheBoundIsRefused) {
  Saver saver = Start({.max_memory = RawBytes(state_) / 2});
  const auto saved = saver.Save(Views(state_), At(1));
  EXPECT_EQ(saved.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(saved.error().message, HasSubstr("raise max_memory"));
}

TEST_F(BoundTest, TwoStatesFitWithoutASetting) {
  Saver saver = Start({.on_busy = OnBusy::kError});
  for (uint64_t step : {1, 11}) {
    const Contents state = SmallState(step, step * 10'000);  // the second time a larger one
    Gate gate;
    ASSERT_TRUE(saver.Save(Views(state), gate.At(step)));
    ASSERT_TRUE(saver.Save(Views(state), At(step + 1)));
    EXPECT_EQ(saver.Save(Views(state), At(step + 2)).error().kind, ErrorKind::kBusy);
    gate.Open();
    ASSERT_TRUE(saver.Wait());
  }
}

TEST_F(BoundTest, TensorsOfOneMemoryAreCopiedOnce) {
  Saver saver = StartSmall(OnBusy::kError);
  std::vector<TensorView> tied = Views(state_);
  for (size_t i = 0, count = tied.size(); i < count; ++i) {
    tied.push_back(tied[i]);
    tied.back().info.name += ".tied";
  }
  Contents expected = state_;
  for (const auto& [info, bytes] : state_) {
    expected.push_back({info, bytes});
    expected.back().first.name += ".tied";
  }
  ASSERT_TRUE(saver.Save(tied, At(1)));
  ASSERT_TRUE(saver.Wait());
  ExpectStep(store_, 1, expected);
}

TEST_F(SaverTest, MemoryStaysWithinTheBoundAndIsGivenBack) {
  const Contents state = SmallState(1, 8 * kMiB);
  const uint64_t raw = RawBytes(state), coding = 64 * kMiB;
  Saver saver = Start({.max_memory = raw + kMiB});
  const uint64_t before = StatusBytes("VmRSS");
  EXPECT_LT(ExtraMemory([&] {
              for (uint64_t step = 1; step <= 4; ++step) {
                SaveOptions options = At(step);
                options.profile = Profile::kFast;
                ASSERT_TRUE(saver.Save(Views(state), options));
              }
              ASSERT_TRUE(saver.Wait());
            }),
            kShadow * (raw + kMiB + coding));
  EXPECT_GT(StatusBytes("VmRSS"), before + raw / 2);  // kept for the next save
  ASSERT_TRUE(saver.Close());
  EXPECT_LT(StatusBytes("VmRSS"), before + kShadow * coding);
}

TEST_F(SaverTest, PreparedMemoryIsTheFirstSaves) {
  const Contents state = SmallState(1, 8 * kMiB);
  const uint64_t bytes = Place(Views(state)).bytes, coding = 64 * kMiB;
  Saver saver = Start();
  const uint64_t before = StatusBytes("VmRSS");
  ASSERT_TRUE(saver.Prepare(bytes));
  EXPECT_TRUE(Eventually([&] { return StatusBytes("VmRSS") >= before + bytes * 9 / 10; }));
  const uint64_t prepared = StatusBytes("VmRSS");
  ASSERT_TRUE(saver.Save(Views(state), At(1)));
  ASSERT_TRUE(saver.Wait());
  EXPECT_LT(StatusBytes("VmRSS"), prepared + kShadow * coding);
  ASSERT_TRUE(saver.Close());
  EXPECT_FALSE(saver.Prepare(bytes));
}

TEST_F(SaverTest, MemoryThatCannotBePreparedIsTheSavesError) {
  Saver saver = Start({.max_memory = 2 * RawBytes(SmallState())});
  ASSERT_TRUE(saver.Prepare(std::numeric_limits<uint64_t>::max()));
  ASSERT_TRUE(saver.Save(Views(SmallState()), At(1)));
  EXPECT_EQ(saver.Save(Views(SmallState(1, 8 * kMiB)), At(2)).error().kind,
            ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace bitsnap
