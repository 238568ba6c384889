// Shared by the tests of the agent as a process of its own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "engine/agent/address.h"
#include "engine/saver_test_util.h"

namespace bitsnap::testing_util {

struct ProcessStatus {
  char state = 'Z';
  pid_t session = 0;
};

inline ProcessStatus StatusOf(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string number, name;
  ProcessStatus status;
  pid_t parent, group;
  file >> number >> name >> status.state >> parent >> group >> status.session;
  return status;
}

inline bool IsRunning(pid_t process) { return process > 0 && StatusOf(process).state != 'Z'; }

// Never kill(0): that would be all of us.
inline void Kill(pid_t process, int signal = SIGKILL) {
  ASSERT_GT(process, 0);
  kill(process, signal);
}

// Runs `body` in a child process, which ends with it.
template <class Body>
pid_t Fork(Body body) {
  const pid_t child = fork();
  if (child != 0) return child;
  body();
  _exit(0);
}

// A store whose agent, if there is one at the end, is killed. Sockets lie in a directory of the
// test's own.
class AgentTest : public SaverTest {
 protected:
  AgentTest() { setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1); }
  ~AgentTest() override {
    if (const pid_t agent = AgentProcess(); agent > 0) {
      Kill(agent);
      Eventually([&] { return !IsRunning(agent); });
    }
  }

  static SaverOptions Options(uint32_t rank = 0, uint32_t world_size = 1) {
    AgentOptions agent;
    agent.executable = BITSNAP_COMMAND;
    agent.rank = rank;
    agent.world_size = world_size;
    return {.agent = agent};
  }
  Saver Start(const SaverOptions& options = Options()) {
    auto saver = Saver::Start(store_, options);
    if (!saver) ADD_FAILURE() << saver.error().message;
    return *std::move(saver);
  }

  agent::Address Address() const { return *agent::AddressOf(store_.directory()); }

  // This store's agent, which has a session of its own as who started it has not; 0: none.
  pid_t AgentProcess() const {
    const std::string wanted = std::string("agent\0", 6) + store_.directory().string() + '\0';
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const pid_t process = std::atoi(entry.path().filename().c_str());
      std::ifstream file(entry.path() / "cmdline");
      std::string line;
      std::getline(file, line);  // does not throw where the process has gone meanwhile
      if (process <= 0 || line.find(wanted) == std::string::npos) continue;
      if (IsRunning(process) && StatusOf(process).session == process) return process;
    }
    return 0;
  }

  // It ends, and nothing of it is left.
  void ExpectGone(pid_t agent) const {
    EXPECT_TRUE(Eventually([&] { return !IsRunning(agent); }));
    EXPECT_FALSE(std::filesystem::exists(runtime_.path() / "bitsnap"));
  }

  const TestDirectory runtime_;
};

}  // namespace bitsnap::testing_util
