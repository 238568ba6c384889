// The agent as a process of its own, through Saver.
#include <gmock/gmock.h>

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "engine/agent/listener.h"
#include "engine/agent/wire.h"
#include "engine/agent_test_util.h"

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

TEST_F(AgentTest, WhoAsksADyingAgentIsAnsweredByTheNextOne) {
  Saver saver = Start();
  const auto ask = [&](const char* what, const std::function<void()>& question) {
    SCOPED_TRACE(what);
    ASSERT_TRUE(saver.Hold("a", Noise(100, 1)));
    const pid_t agent = AgentProcess();
    Stop(agent);  // so that the question is on its way when it dies
    std::thread asking(question);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    Kill(agent);
    asking.join();
    EXPECT_TRUE(Eventually([&] { return !IsRunning(agent); }));
    EXPECT_THAT(saver.TakeWarnings(), Contains(HasSubstr("is gone")));
  };
  ask("held", [&] { EXPECT_THAT(*saver.Held(), IsEmpty()); });
  ask("fetch", [&] { EXPECT_EQ(saver.Fetch("a").error().kind, ErrorKind::kNotFound); });
  ask("drop", [&] { EXPECT_TRUE(saver.Drop({"a"})); });
  ask("newest", [&] { EXPECT_FALSE(*saver.Newest()); });
  ask("hold", [&] { EXPECT_TRUE(saver.Hold("b", Noise(100, 2))); });
  EXPECT_THAT(*saver.Held(), ElementsAre("b"));
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
      EXPECT_EQ((*saver->Newest())->rank(), rank);
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
    EXPECT_TRUE(*saver.Newest());
    ASSERT_TRUE(saver.Close());
  }
  ExpectGone(agent);
}

TEST_F(AgentTest, WhatAKilledAgentHadNotFinishedIsFinishedHere) {
  std::mt19937 random(3);
  for (uint64_t round = 0; round < 10; ++round) {
    Saver saver = Start();
    const pid_t agent = AgentProcess();
    const uint64_t first = 100 * round + 1;
    std::jthread killer([&, wait = random() % 60] {
      std::this_thread::sleep_for(std::chrono::milliseconds(wait));
      Kill(agent);
    });
    for (uint64_t step = first; step < first + 4; ++step) {
      const auto saved = saver.Save(Views(SmallState(step, 50'000)), At(step));
      ASSERT_TRUE(saved) << saved.error().message;
    }
    killer.join();
    ASSERT_TRUE(Eventually([&] { return !IsRunning(agent); }));
    const auto waited = saver.Wait();
    ASSERT_TRUE(waited) << waited.error().message;
    for (uint64_t step = first; step < first + 4; ++step) {
      ExpectStep(store_, step, SmallState(step, 50'000));
    }
    ASSERT_TRUE(saver.Save(Views(SmallState(1, 100)), At(first + 10)));
    const pid_t successor = AgentProcess();
    EXPECT_NE(successor, 0);
    EXPECT_NE(successor, agent);
    const auto warnings = saver.TakeWarnings();
    ASSERT_FALSE(warnings.empty());
    EXPECT_THAT(warnings[0], HasSubstr("is gone"));
    ASSERT_TRUE(saver.Close());
    ExpectGone(successor);  // or it would be taken for the next round's
  }
}

TEST_F(AgentTest, WithoutAnotherAgentItGoesOnAlone) {
  SaverOptions options = Options();
  const auto command = directory_.path() / "bitsnap";
  std::filesystem::create_symlink(BITSNAP_COMMAND, command);
  options.agent->executable = command;
  Saver saver = Start(options);
  const pid_t agent = AgentProcess();
  std::filesystem::remove(command);
  Kill(agent);
  ASSERT_TRUE(Eventually([&] { return !IsRunning(agent); }));
  const Contents state = SmallState(1, 1'000);
  for (uint64_t step : {1, 2}) {
    const auto saved = saver.Save(Views(state), At(step));
    ASSERT_TRUE(saved) << saved.error().message;
  }
  ASSERT_TRUE(saver.Wait());
  ExpectStep(store_, 2, state);
  EXPECT_THAT(saver.TakeWarnings(),
              Contains(HasSubstr("from now on this process saves for itself")));
  EXPECT_FALSE(*saver.Newest());
  EXPECT_EQ(saver.Hold("a", {}).error().kind, ErrorKind::kIo);
  EXPECT_THAT(*saver.Held(), IsEmpty());
  EXPECT_EQ(saver.Fetch("a").error().kind, ErrorKind::kIo);
  EXPECT_TRUE(saver.Drop({"a"}));
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
    const bool remembered = saver.Newest()->has_value();
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

// Runs `body` in a child process, which ends with it.
template <class Body>
pid_t Fork(Body body) {
  const pid_t child = fork();
  if (child != 0) return child;
  body();
  _exit(0);
}

constexpr size_t kCount = 30'011;

// A process that saves one step after another until it is killed, and tells a number after each.
class Training {
 public:
  using Tell = uint64_t (*)(const Saver& saver, uint64_t step);

  Training(const Store& store, const SaverOptions& options, uint64_t first, Tell tell) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pipe_ = ends[0];
    process_ = Fork([&] {
      auto saver = Saver::Start(store, options);
      if (!saver) Die(saver.error());
      for (uint64_t step = first;; ++step) {
        const SaveOptions at{.step = step, .threads = 1};
        const auto saved = saver->Save(Views(SmallState(step, kCount)), at);
        if (!saved) Die(saved.error());
        const uint64_t told = tell(*saver, step);
        if (write(ends[1], &told, sizeof(told)) != sizeof(told)) _exit(1);
      }
    });
    close(ends[1]);
  }
  ~Training() { close(pipe_); }
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  pid_t process() const { return process_; }

  // The last number it told, 0 where it told none. Once it is killed, and only once.
  uint64_t LastTold() {
    waitpid(process_, nullptr, 0);
    uint64_t last = 0, told;
    while (read(pipe_, &told, sizeof(told)) == sizeof(told)) last = told;
    return last;
  }

 private:
  [[noreturn]] static void Die(const Error& error) {
    fprintf(stderr, "%s\n", error.message.c_str());
    _exit(1);
  }

  int pipe_;
  pid_t process_;
};

void SleepUpTo200ms(std::mt19937& random) {
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 200'000));
}

TEST_F(AgentTest, KilledAtAnyInstantATrainingGetsItsNewestStateBack) {
  std::mt19937 random(5);
  uint64_t first = 1;
  for (int round = 0; round < 20; ++round) {
    Training training(store_, Options(), first, [](const Saver&, uint64_t step) { return step; });
    SleepUpTo200ms(random);
    Kill(training.process());
    const uint64_t told = training.LastTold();

    Saver saver = Start();
    const auto newest = saver.Newest();
    ASSERT_TRUE(newest) << newest.error().message;
    if (told != 0) {
      ASSERT_TRUE(*newest);
    }
    if (!*newest) continue;
    const uint64_t step = (*newest)->step();
    EXPECT_GE(step, told);
    ExpectSame(*ReadAll(**newest), SmallState(step, kCount));
    first = step + 1;
    ASSERT_TRUE(saver.Wait());
    ExpectStep(store_, step, SmallState(step, kCount));
    ASSERT_TRUE(saver.Leave());
  }
}

TEST_F(AgentTest, KilledTogetherTheyLeaveTheLastDurableStep) {
  std::mt19937 random(6);
  uint64_t first = 1;
  for (int round = 0; round < 10; ++round) {
    Training training(store_, Options(), first, [](const Saver& saver, uint64_t) {
      return saver.last_durable_step().value_or(0);
    });
    ASSERT_TRUE(Eventually([&] { return AgentProcess() != 0; }));
    SleepUpTo200ms(random);
    const pid_t agent = AgentProcess();
    Kill(round % 2 == 0 ? agent : training.process());
    Kill(round % 2 == 0 ? training.process() : agent);
    const uint64_t told = training.LastTold();
    ASSERT_TRUE(Eventually([&] { return !IsRunning(agent); }));

    Contents got;
    const auto step = store_.RestoreNewest(0, [&](const Snapshot& snapshot) -> Result<void> {
      got = *ReadAll(snapshot);
      return {};
    });
    if (!step) {
      EXPECT_EQ(told, 0);
      continue;
    }
    EXPECT_GE(*step, told);
    ExpectSame(got, SmallState(*step, kCount));
    first = *step + 10;     // what is not whole beyond it was never said to be
    Saver saver = Start();  // removes what the killed agent left
    EXPECT_FALSE(*saver.Newest());
    ASSERT_TRUE(saver.Close());
    ASSERT_TRUE(Eventually([&] { return AgentProcess() == 0; }));
  }
}

TEST_F(AgentTest, ADeadTrainingsChildrenDoNotKeepTheAgent) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = Fork([&] {
    SaverOptions options = Options();
    options.agent->linger = std::chrono::seconds(0);
    auto saver = Saver::Start(store_, options);
    const pid_t grandchild = fork();  // has the socket, as data-loading workers do
    if (grandchild == 0) {
      while (true) pause();
    }
    if (write(ends[1], &grandchild, sizeof(grandchild)) < 0) _exit(1);
    while (true) pause();
  });
  pid_t grandchild = 0;
  ASSERT_EQ(read(ends[0], &grandchild, sizeof(grandchild)), static_cast<ssize_t>(sizeof(pid_t)));
  const pid_t agent = AgentProcess();
  ASSERT_TRUE(IsRunning(agent));
  Kill(child);
  waitpid(child, nullptr, 0);
  ExpectGone(agent);
  Kill(grandchild);
  for (const int end : ends) close(end);
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
  std::ifstream maps("/proc/self/maps");
  size_t mapped = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/memfd:bitsnap") != std::string::npos) ++mapped;
  }
  EXPECT_LE(mapped, 4);
  ASSERT_TRUE(saver.Close());
}

TEST_F(SaverTest, HoldsNothingWithoutAnAgent) {
  Saver saver = *Saver::Start(store_, {});
  EXPECT_EQ(saver.Hold("a", {}).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(saver.Held().error().kind, ErrorKind::kInvalidArgument);
  EXPECT_FALSE(*saver.Newest());
}

}  // namespace
}  // namespace bitsnap
