// The agent as a process of its own, through Saver.
#include <gmock/gmock.h>

#include <signal.h>

#include <thread>

#include "engine/agent_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::byte> ToVector(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

TEST_F(AgentTest, SavesWhatTheTensorsHeldAndGoesWithTheLastGoodbye) {
  Saver saver = Start();
  const pid_t agent = AgentProcess();
  ASSERT_GT(agent, 0);
  Contents tensors = SmallState();
  for (uint64_t step = 1; step <= 20; ++step) {
    const Contents state = SmallState(step, 20'003);
    tensors = state;
    const auto ticket = saver.Save(Views(tensors), At(step));
    ASSERT_TRUE(ticket) << ticket.error().message;
    for (auto& [info, bytes] : tensors) std::fill(bytes.begin(), bytes.end(), std::byte{0xa5});
  }
  ASSERT_TRUE(saver.Wait());
  for (uint64_t step = 1; step <= 20; ++step) ExpectStep(store_, step, SmallState(step, 20'003));
  EXPECT_EQ(saver.last_durable_step(), 20);
  EXPECT_THAT(saver.TakeWarnings(), IsEmpty());
  ASSERT_TRUE(saver.Close());
  ExpectGone(agent);
}

TEST_F(AgentTest, GivesTheNewestStateToTheNextProcess) {
  const Contents state = SmallState(3);
  {
    Saver saver = Start();
    EXPECT_FALSE(*saver.Newest());
    SaveOptions options = At(3);
    options.metadata = std::string("\0\xff", 2);
    options.save_id = 77;
    ASSERT_TRUE(saver.Save(Views(SmallState(2)), At(2)));
    ASSERT_TRUE(saver.Save(Views(state), options));
  }  // left, not closed
  Saver saver = Start();
  auto newest = saver.Newest();
  ASSERT_TRUE(newest) << newest.error().message;
  ASSERT_TRUE(*newest);
  EXPECT_EQ((*newest)->step(), 3);
  EXPECT_EQ((*newest)->save_id(), 77);
  EXPECT_EQ((*newest)->metadata(), std::string("\0\xff", 2));
  const auto got = ReadAll(**newest, 2);
  ASSERT_TRUE(got);
  ExpectSame(*got, state);
  EXPECT_EQ((*newest)->tensors()[1].info.role, Role::kExpAvg);
  ASSERT_TRUE(saver.Close());
}

TEST_F(AgentTest, HoldsBytesForOthers) {
  Saver saver = Start();
  const auto content = Noise(100'001, 1);
  EXPECT_THAT(*saver.Held(), IsEmpty());
  ASSERT_TRUE(saver.Hold("rank 3, step 7", content));
  ASSERT_TRUE(saver.Hold("empty", {}));
  EXPECT_THAT(*saver.Held(), ElementsAre("empty", "rank 3, step 7"));
  const auto fetched = saver.Fetch("rank 3, step 7");
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(ToVector(**fetched), content);
  EXPECT_THAT(**saver.Fetch("empty"), IsEmpty());
  EXPECT_EQ(saver.Fetch("rank 4").error().kind, ErrorKind::kNotFound);
  ASSERT_TRUE(saver.Hold("rank 3, step 7", std::span(content).first(5)));  // replaced
  EXPECT_THAT(**saver.Fetch("rank 3, step 7"), SizeIs(5));
  ASSERT_TRUE(saver.Drop({"rank 3, step 7", "never there"}));
  EXPECT_THAT(*saver.Held(), ElementsAre("empty"));
  EXPECT_EQ(ToVector(**fetched), content);  // as long as somebody has it
}

TEST_F(SaverTest, HoldsNothingWithoutAnAgent) {
  Saver saver = *Saver::Start(store_, {});
  EXPECT_EQ(saver.Hold("a", {}).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(saver.Held().error().kind, ErrorKind::kInvalidArgument);
  EXPECT_FALSE(*saver.Newest());
}

}  // namespace
}  // namespace bitsnap
