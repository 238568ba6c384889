// The agent as a process of its own, through Saver.
#include <gmock/gmock.h>

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "engine/agent/listener.h"
#include "engine/agent/wire.h"
#include "engine/agent_test_util.h"
#include "engine/manifest.h"

namespace bitsnap {
namespace {

using namespace testing_util;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::byte> ToVector(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

// Pieces of an agent's memory that are mapped here.
size_t SharedMappings() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/memfd:bitsnap") != std::string::npos) ++count;
  }
  return count;
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
    EXPECT_FALSE(*saver.agent_memory()->Newest());
    SaveOptions options = At(3);
    options.metadata = std::string("\0\xff", 2);
    options.save_id = 77;
    ASSERT_TRUE(saver.Save(Views(SmallState(2)), At(2)));
    ASSERT_TRUE(saver.Save(Views(state), options));
  }  // left, not closed
  Saver saver = Start();
  auto newest = saver.agent_memory()->Newest();
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
  EXPECT_THAT(*saver.agent_memory()->Held(), IsEmpty());
  ASSERT_TRUE(saver.agent_memory()->Hold("rank 3, step 7", content));
  ASSERT_TRUE(saver.agent_memory()->Hold("empty", {}));
  EXPECT_THAT(*saver.agent_memory()->Held(), ElementsAre("empty", "rank 3, step 7"));
  const auto fetched = saver.agent_memory()->Fetch("rank 3, step 7");
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(ToVector(**fetched), content);
  EXPECT_THAT(**saver.agent_memory()->Fetch("empty"), IsEmpty());
  EXPECT_EQ(saver.agent_memory()->Fetch("rank 4").error().kind, ErrorKind::kNotFound);
  ASSERT_TRUE(
      saver.agent_memory()->Hold("rank 3, step 7", std::span(content).first(5)));  // replaced
  EXPECT_THAT(**saver.agent_memory()->Fetch("rank 3, step 7"), SizeIs(5));
  ASSERT_TRUE(saver.agent_memory()->Drop({"rank 3, step 7", "never there"}));
  EXPECT_THAT(*saver.agent_memory()->Held(), ElementsAre("empty"));
  EXPECT_EQ(ToVector(**fetched), content);  // as long as somebody has it
}

TEST_F(AgentTest, RanksThatStartAtOnceShareOneAgent) {
  constexpr uint32_t kRanks = 4;
  std::vector<std::thread> ranks;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    ranks.emplace_back([&, rank] {
      auto saver = Saver::Start(store_, Options(rank, kRanks));
      ASSERT_TRUE(saver) << saver.error().message;
      SaveOptions options = At(1);
      options.rank = rank;
      options.world_size = kRanks;
      ASSERT_TRUE(saver->Save(Views(SmallState(rank, 5'000)), options));
      ASSERT_TRUE(saver->Wait());
      EXPECT_EQ((*saver->agent_memory()->Newest())->rank(), rank);
      ASSERT_TRUE(saver->Leave());
    });
  }
  for (std::thread& each : ranks) each.join();
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    ExpectStep(store_, 1, SmallState(rank, 5'000), rank);
  }
  const pid_t agent = AgentProcess();
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    Saver saver = Start(Options(rank, kRanks));
    EXPECT_EQ(AgentProcess(), agent);
    EXPECT_TRUE(*saver.agent_memory()->Newest());
    ASSERT_TRUE(saver.Close());
  }
  ExpectGone(agent);
}

TEST_F(AgentTest, StatesThatTheAgentRefusesAreSavedHereAndTheirMemoryIsLentAgain) {
  Saver saver = Start();
  const Contents state = SmallState(1, 1'000);
  for (uint64_t step = 1; step <= 3; ++step) {  // more than there is memory for
    SaveOptions options = At(step);
    options.metadata.resize(agent::kMaxFrameBytes);
    const auto saved = saver.Save(Views(state), options);
    ASSERT_TRUE(saved) << saved.error().message;
    ASSERT_TRUE(saved->Wait()) << saved->Wait().error().message;
    EXPECT_THAT(saver.TakeWarnings(), Contains(HasSubstr("did not take step")));
    ExpectStep(store_, step, state);
  }
  ASSERT_TRUE(saver.Close());
}

TEST_F(AgentTest, AnAgentThatCannotBeStartedIsAnError) {
  SaverOptions options = Options();
  options.agent->executable = "/nowhere/bitsnap";
  const auto saver = Saver::Start(store_, options);
  ASSERT_FALSE(saver);
  EXPECT_THAT(saver.error().message, HasSubstr("cannot start the agent (/nowhere/bitsnap)"));
  options.agent->executable = "/bin/false";
  EXPECT_THAT(Saver::Start(store_, options).error().message, HasSubstr("it ended at once"));
}

TEST_F(AgentTest, ASignalMakesItFinishWhatIsQueued) {
  Saver saver = Start();
  const pid_t agent = AgentProcess();
  std::vector<SaveTicket> tickets;
  for (uint64_t step : {1, 2}) {
    tickets.push_back(*saver.Save(Views(SmallState(step)), At(step)));
  }
  Kill(agent, SIGTERM);
  ASSERT_TRUE(Eventually([&] { return !IsRunning(agent); }));
  for (const SaveTicket& ticket : tickets) EXPECT_TRUE(ticket.Wait());
  for (uint64_t step : {1, 2}) ExpectStep(store_, step, SmallState(step));
  ASSERT_TRUE(saver.Save(Views(SmallState(3)), At(3)));
  ASSERT_TRUE(saver.Close());
}

// Or it would never end.
TEST_F(AgentTest, AfterASignalItTakesNoMore) {
  Saver saver = Start();
  const pid_t agent = AgentProcess();
  uint64_t step = 0;
  const auto save = [&] {
    ++step;
    const auto saved = saver.Save(Views(SmallState(step, 20'000)), At(step));
    ASSERT_TRUE(saved) << saved.error().message;
  };
  save();
  Kill(agent, SIGTERM);
  ASSERT_TRUE(Eventually([&] {
    save();
    return !IsRunning(agent);
  }));
  ASSERT_TRUE(saver.Close());
  for (uint64_t saved = 1; saved <= step; ++saved) {
    ExpectStep(store_, saved, SmallState(saved, 20'000));
  }
}

TEST_F(AgentTest, StatesOfRanksThatASmallerWorldHasNotAreForgotten) {
  const auto newest_of = [&](uint32_t rank, uint32_t world_size) {
    Saver saver = Start(Options(rank, world_size));
    const bool remembered = saver.agent_memory()->Newest()->has_value();
    EXPECT_TRUE(saver.Leave());
    return remembered;
  };
  for (uint32_t rank : {0, 2}) {
    Saver saver = Start(Options(rank, 4));
    SaveOptions options = At(1);
    options.rank = rank;
    options.world_size = 4;
    ASSERT_TRUE(saver.Save(Views(SmallState(rank, 1'000)), options));
    ASSERT_TRUE(saver.Leave());
  }
  EXPECT_TRUE(newest_of(2, 4));
  EXPECT_TRUE(newest_of(0, 3));
  EXPECT_TRUE(newest_of(2, 4));
  EXPECT_TRUE(newest_of(0, 2));
  EXPECT_FALSE(newest_of(2, 4));
}

// A field of /proc/PROCESS/status.
std::string StatusField(const std::string& process, const std::string& name) {
  std::ifstream file("/proc/" + process + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return line.substr(name.size() + 1);
  }
  return "";
}

TEST_F(AgentTest, ItIsNotBoundAsTheRankIsThatStartsIt) {
  std::thread rank([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    sigset_t signals;
    sigfillset(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    Saver saver = Start();
    ASSERT_TRUE(saver.Save(Views(SmallState(1, 100)), At(1)));
  });
  rank.join();
  const std::string agent = std::to_string(AgentProcess());
  EXPECT_EQ(StatusField(agent, "Cpus_allowed"), StatusField("self", "Cpus_allowed"));
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + agent + "/cwd"), "/");
  for (const char* file : {"0", "1", "2"}) {
    EXPECT_EQ(std::filesystem::read_symlink("/proc/" + agent + "/fd/" + file), "/dev/null");
  }
  // Only its own: SIGHUP, SIGINT and SIGTERM.
  EXPECT_EQ(std::stoull(StatusField(agent, "SigBlk"), nullptr, 16), 0x4003);
}

TEST_F(AgentTest, ASaveMayBeCancelled) {
  Saver saver = Start();
  SaveOptions options = At(1);
  options.progress = [](uint64_t, uint64_t) { return false; };
  const auto ticket = saver.Save(Views(SmallState(1, 8'000'000)), options);
  ASSERT_TRUE(ticket) << ticket.error().message;
  EXPECT_EQ(ticket->Wait().error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(store_.OpenStep(1).error().kind, ErrorKind::kNotFound);
}

TEST_F(AgentTest, LingersAsLongAsToldAndNoLonger) {
  SaverOptions options = Options();
  options.agent->linger = std::chrono::seconds(1);
  pid_t agent;
  {
    Saver saver = Start(options);
    agent = AgentProcess();
    ASSERT_TRUE(saver.Save(Views(SmallState(1, 100)), At(1)));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_TRUE(IsRunning(agent));
  ExpectGone(agent);
}

TEST_F(AgentTest, ABrokenClientHarmsNobody) {
  Saver saver = Start();
  const auto send = [&](std::string_view bytes) {
    auto client = agent::Connect(Address());
    ASSERT_TRUE(client && *client);
    EXPECT_EQ(write((*client)->get(), bytes.data(), bytes.size()), std::ssize(bytes));
    char answer;
    EXPECT_LE(read((*client)->get(), &answer, 1), 1);
  };
  send("\xff\xff\xff\xff");
  send(std::string("\x01\0\0\0\0", 5));
  const auto ask = [&](const agent::Json& request) {
    auto client = agent::Connect(Address());
    EXPECT_TRUE(agent::SendFrame((*client)->get(), request));
    auto answer = agent::ReceiveFrame((*client)->get());
    return answer && *answer ? (*answer)->body : agent::Json();
  };
  EXPECT_EQ(ask({{"id", 1}, {"do", "held"}}), agent::Json());  // no hello before
  EXPECT_EQ(ask({{"id", 1}, {"do", "dance"}}), agent::Json());
  const auto refusal = ask({{"id", 1}, {"do", "hello"}, {"version", 999}});
  EXPECT_THAT(refusal["error"]["message"].get<std::string>(),
              HasSubstr("kill " + std::to_string(AgentProcess())));
  EXPECT_FALSE(ask({{"id", 1}, {"do", "hello"}, {"version", 1}}).contains("ok"));
  ASSERT_TRUE(saver.Save(Views(SmallState(1, 100)), At(1)));
  ASSERT_TRUE(saver.Close());
}

TEST_F(AgentTest, ASmallSharedMemoryFileSystemDoesNoHarm) {
  const pid_t child = Fork([&] {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", "/dev/shm", "tmpfs", 0, "size=64k") != 0) {
      _exit(77);
    }
    bool saved = false;
    {
      auto saver = Saver::Start(store_, Options());
      saved = saver && saver->Save(Views(SmallState(1, 1'000'000)), At(1)) && saver->Wait() &&
              saver->Close();
    }  // joins its threads
    _exit(saved ? 0 : 1);
  });
  int status = 0;
  waitpid(child, &status, 0);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(status, 0);
  ExpectStep(store_, 1, SmallState(1, 1'000'000));
}

TEST_F(AgentTest, ChangingSizesLeaveNoMemoryBehind) {
  Saver saver = Start();
  for (uint64_t step = 1; step <= 12; ++step) {
    ASSERT_TRUE(saver.Save(Views(SmallState(step, 10'000 * (1 + step * 7 % 12))), At(step)));
    ASSERT_TRUE(saver.Wait());
  }
  const auto shared = [](const std::filesystem::path& process) {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(process / "fd")) {
      std::error_code gone;
      const auto target = std::filesystem::read_symlink(entry, gone).string();
      if (target.starts_with("/memfd:bitsnap")) ++count;
    }
    return count;
  };
  EXPECT_LE(shared("/proc/" + std::to_string(AgentProcess())), 4);
  EXPECT_EQ(shared("/proc/self"), 0);  // mapped, not open
  EXPECT_LE(SharedMappings(), 4);
  ASSERT_TRUE(saver.Close());
}

TEST_F(AgentTest, ASaveWaitsForMemoryThatIsBeingPrepared) {
  const Contents state = SmallState(1, 4'000'000);  // its memory takes a while
  const uint64_t bytes = Place(Views(state)).bytes;
  SaverOptions options = Options();
  options.max_memory = bytes * 3 / 2;  // no room for a second piece
  options.on_busy = OnBusy::kError;
  Saver saver = Start(options);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(saver.Prepare(bytes));
  const auto saved = saver.Save(Views(state), At(1));
  ASSERT_TRUE(saved) << saved.error().message;
  ASSERT_TRUE(saver.Close());
}

TEST_F(AgentTest, PreparedMemoryIsTheFirstSaves) {
  const Contents state = SmallState();
  const uint64_t bytes = Place(Views(state)).bytes;
  Saver saver = Start();
  ASSERT_TRUE(saver.Prepare(bytes));
  EXPECT_TRUE(Eventually([] { return SharedMappings() == 1; }));
  ASSERT_TRUE(saver.Save(Views(state), At(1)));
  // The agent keeps the newest state: the next one's memory is made meanwhile.
  EXPECT_TRUE(Eventually([] { return SharedMappings() == 2; }));
  ASSERT_TRUE(saver.Save(Views(SmallState(2)), At(2)));
  ASSERT_TRUE(saver.Save(Views(SmallState(3)), At(3)));
  ASSERT_TRUE(saver.Wait());
  EXPECT_EQ(SharedMappings(), 2);
  ExpectStep(store_, 3, SmallState(3));
}

TEST_F(SaverTest, HasNoAgentsMemoryWithoutAnAgent) {
  EXPECT_FALSE(Saver::Start(store_, {})->agent_memory());
}

TEST_F(AgentTest, TheAgentsMemoryCannotBeUsedOnceItsSaverIsClosed) {
  std::optional<AgentMemory> memory;
  {
    Saver saver = Start();
    memory = saver.agent_memory();
    ASSERT_TRUE(memory->Hold("a", {}));
    ASSERT_TRUE(saver.Leave());
  }
  EXPECT_EQ(memory->Hold("a", {}).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(memory->Held().error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(memory->Fetch("a").error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(memory->Drop({"a"}).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(memory->Newest().error().kind, ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace bitsnap
