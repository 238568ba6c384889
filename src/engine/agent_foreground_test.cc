// `bitsnap agent` as a person runs it: what it tells, and what signals do.
#include <gmock/gmock.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "engine/agent_test_util.h"
#include "engine/fd.h"

namespace bitsnap {
namespace {

using namespace testing_util;
using nlohmann::json;

constexpr size_t kLarge = 3'000'000;  // elements; saving takes a while

// On a slow machine the saves may be through before the signal comes.
constexpr uint64_t kTries = 30;

// The agent of `store` in the foreground; its standard output is read here.
class Foreground {
 public:
  explicit Foreground(const std::filesystem::path& store) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    output_ = Fd(ends[0]);
    process_ = fork();
    if (process_ != 0) {
      close(ends[1]);
      return;
    }
    dup2(ends[1], STDOUT_FILENO);
    execl(BITSNAP_COMMAND, "bitsnap", "agent", store.c_str(), "--json", nullptr);
    _exit(1);
  }
  ~Foreground() {
    if (process_ == 0) return;
    kill(process_, SIGKILL);
    Wait();
  }

  // The next line that it tells; null when it has ended.
  json Line() {
    std::string line;
    char byte;
    while (read(output_.get(), &byte, 1) == 1) {
      if (byte == '\n') return json::parse(line);
      line += byte;
    }
    return nullptr;
  }
  json Until(const std::string& event) {
    json line = Line();
    while (!line.is_null() && line["event"] != event) line = Line();
    return line;
  }
  void Signal(int number) const { kill(process_, number); }
  // Its status, as by waitpid.
  int Wait() {
    int status = -1;
    waitpid(std::exchange(process_, 0), &status, 0);
    return status;
  }

 private:
  Fd output_;
  pid_t process_;
};

class ForegroundTest : public AgentTest {
 protected:
  void ExpectNothingLeft() const {
    EXPECT_FALSE(std::filesystem::exists(runtime_.path() / "bitsnap"));
  }

  // Hands two steps over to an agent and signals it at once. Returns whether it was still busy.
  bool IsBusyWhenSignalled(Saver saver, Foreground& agent, int number, uint64_t first) {
    for (const uint64_t step : {first, first + 1}) {
      EXPECT_TRUE(saver.Save(Views(SmallState(step, kLarge)), At(step)));
    }
    agent.Signal(number);
    std::vector<json> told;
    while (told.empty() || !told.back().is_null()) told.push_back(agent.Line());
    told.pop_back();
    EXPECT_EQ(agent.Wait(), 0);
    bool was_busy = false;
    std::vector<uint64_t> saved;
    for (const json& line : told) {
      if (line["event"] == "ending") was_busy = line["under_way"] > 0;
      if (line["event"] == "saved") saved.push_back(line["step"]);
    }
    EXPECT_EQ(told.back(), json({{"event", "ended"}}));
    EXPECT_THAT(saved, testing::ElementsAre(first, first + 1));
    for (const uint64_t step : saved) ExpectStep(store_, step, SmallState(step, kLarge));
    EXPECT_TRUE(saver.Close());
    return was_busy;
  }

  // Hands two steps over to the agent, and dies.
  void TrainAndDie(uint64_t first) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t training = fork();
    if (training == 0) {
      auto saver = Saver::Start(store_, Options());
      for (const uint64_t step : {first, first + 1}) {
        if (!saver || !saver->Save(Views(SmallState(step, kLarge)), At(step))) _exit(1);
      }
      static_cast<void>(!write(ends[1], "x", 1));
      while (true) pause();
    }
    close(ends[1]);
    char byte;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    Kill(training);
    waitpid(training, nullptr, 0);
  }
};

TEST_F(ForegroundTest, WithNothingUnderWayASignalEndsIt) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Foreground agent(store_.directory());
    const json listening = agent.Line();
    ASSERT_EQ(listening["event"], "listening");
    EXPECT_TRUE(std::filesystem::exists(std::string(listening["socket"])));
    agent.Signal(number);
    EXPECT_EQ(agent.Line(), json({{"event", "ending"}, {"under_way", 0}}));
    EXPECT_EQ(agent.Line(), json({{"event", "ended"}}));
    EXPECT_EQ(agent.Wait(), 0);
    ExpectNothingLeft();
  }
}

TEST_F(ForegroundTest, TellsWhatItSavedAndWhatItCouldNot) {
  Foreground agent(store_.directory());
  agent.Until("listening");
  Saver saver = Start();
  ASSERT_TRUE(saver.Save(Views(SmallState(5)), At(5)));
  ASSERT_TRUE(saver.Wait());
  const json saved = agent.Line();
  EXPECT_EQ(saved["event"], "saved");
  EXPECT_EQ(saved["step"], 5);
  EXPECT_EQ(saved["rank"], 0);
  EXPECT_EQ(saved["profile"], "exact");
  EXPECT_GT(saved["stored_bytes"], 0);
  const auto again = saver.Save(Views(SmallState(5)), At(5));
  if (again) {
    EXPECT_FALSE(again->Wait());
    const json failed = agent.Line();
    EXPECT_EQ(failed["event"], "failed");
    EXPECT_EQ(failed["step"], 5);
    EXPECT_EQ(failed["error"]["kind"], "already exists");
  }
  static_cast<void>(saver.Close());
}

TEST_F(ForegroundTest, ASignalMakesItFinishWhatWasHandedOver) {
  uint64_t step = 1;
  for (const int number : {SIGINT, SIGTERM}) {
    bool was_busy = false;
    for (uint64_t tries = 0; tries < kTries && !was_busy; ++tries, step += 2) {
      Foreground agent(store_.directory());
      ASSERT_EQ(agent.Line()["event"], "listening");
      was_busy = IsBusyWhenSignalled(Start(), agent, number, step);
      ExpectNothingLeft();
    }
    EXPECT_TRUE(was_busy) << number;
  }
}

// A training that is dead already cannot finish it either.
TEST_F(ForegroundTest, ASecondSignalEndsItAtOnceAndTheStoreIsSound) {
  int status = 0;
  for (uint64_t step = 1; status == 0 && step < 2 * kTries; step += 2) {
    Foreground agent(store_.directory());
    ASSERT_EQ(agent.Line()["event"], "listening");
    TrainAndDie(step);
    agent.Signal(SIGINT);
    agent.Until("ending");
    agent.Signal(SIGINT);
    status = agent.Wait();
  }
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
  const auto newest = store_.RestoreNewest(0, [&](const Snapshot& snapshot) -> Result<void> {
    ExpectSame(*ReadAll(snapshot), SmallState(snapshot.step(), kLarge));
    return {};
  });
  EXPECT_TRUE(newest || newest.error().kind == ErrorKind::kNotFound) << newest.error().message;
  Saver saver = Start();
  ASSERT_TRUE(saver.Save(Views(SmallState(3)), At(100)));
  ASSERT_TRUE(saver.Close());
  ExpectStep(store_, 100, SmallState(3));
  // The killed agent's log stays until the next one ends well.
  EXPECT_TRUE(Eventually([&] { return !std::filesystem::exists(runtime_.path() / "bitsnap"); }));
}

}  // namespace
}  // namespace bitsnap
