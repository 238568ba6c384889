// Agent and training killed, apart and together: no state that was handed over is lost.
#include <gmock/gmock.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "engine/agent_test_util.h"

namespace bitsnap {
namespace {

using namespace testing_util;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A stop is under way for as long as none of the process's threads has run to take it; the others
// go on meanwhile.
void Stop(pid_t process) {
  Kill(process, SIGSTOP);
  EXPECT_TRUE(Eventually([&] { return StatusOf(process).state == 'T'; }));
}

TEST_F(AgentTest, WhoAsksADyingAgentIsAnsweredByTheNextOne) {
  Saver saver = Start();
  const auto ask = [&](const char* what, const std::function<void()>& question) {
    SCOPED_TRACE(what);
    ASSERT_TRUE(saver.agent_memory()->Hold("a", Noise(100, 1)));
    const pid_t agent = AgentProcess();
    Stop(agent);  // so that the question is on its way when it dies
    std::thread asking(question);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    Kill(agent);
    asking.join();
    EXPECT_TRUE(Eventually([&] { return !IsRunning(agent); }));
    EXPECT_THAT(saver.TakeWarnings(), Contains(HasSubstr("is gone")));
  };
  ask("held", [&] { EXPECT_THAT(*saver.agent_memory()->Held(), IsEmpty()); });
  ask("fetch",
      [&] { EXPECT_EQ(saver.agent_memory()->Fetch("a").error().kind, ErrorKind::kNotFound); });
  ask("drop", [&] { EXPECT_TRUE(saver.agent_memory()->Drop({"a"})); });
  ask("newest", [&] { EXPECT_FALSE(*saver.agent_memory()->Newest()); });
  ask("hold", [&] { EXPECT_TRUE(saver.agent_memory()->Hold("b", Noise(100, 2))); });
  EXPECT_THAT(*saver.agent_memory()->Held(), ElementsAre("b"));
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
  EXPECT_FALSE(*saver.agent_memory()->Newest());
  EXPECT_EQ(saver.agent_memory()->Hold("a", {}).error().kind, ErrorKind::kIo);
  EXPECT_THAT(*saver.agent_memory()->Held(), IsEmpty());
  EXPECT_EQ(saver.agent_memory()->Fetch("a").error().kind, ErrorKind::kIo);
  EXPECT_TRUE(saver.agent_memory()->Drop({"a"}));
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
    const auto newest = saver.agent_memory()->Newest();
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
    EXPECT_FALSE(*saver.agent_memory()->Newest());
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

}  // namespace
}  // namespace bitsnap
