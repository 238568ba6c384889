// The way from this process to the store's agent.
#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/agent/connection.h"

namespace bitsnap {

// Connects to the agent, and to its successor when it dies. Safe to use from several threads.
class AgentLink {
 public:
  // Connects to the agent of hello.store, or starts one with `executable`. Whenever an agent dies,
  // `lost` gets the saves that it has not finished, on a thread of its own, until Close.
  static Result<std::shared_ptr<AgentLink>> Open(agent::Hello hello,
                                                 std::filesystem::path executable,
                                                 agent::Connection::Lost lost);

  // The agent. When it died, this starts another one; null when that failed: from then on this
  // process is on its own.
  std::shared_ptr<agent::Connection> Agent();
  // The agent, or one that died just now; null when this process is on its own.
  std::shared_ptr<agent::Connection> Current();

  // question(connection), asked again of the successor when the agent dies meanwhile. kIo when
  // there is no agent any more.
  template <class Question>
  auto Ask(const Question& question)
      -> decltype(question(std::declval<std::shared_ptr<agent::Connection>>())) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const auto connection = Agent();
      if (!connection) break;
      auto answer = question(connection);
      if (answer || !connection->is_lost()) return answer;
    }
    return Fail(ErrorKind::kIo, "there is no agent any more");
  }

  // kInvalidArgument once it is closed, and in a child after fork().
  Result<void> CheckOpen() const;
  // Ends the connection. With `forget` the agent forgets this rank.
  void Close(bool forget);

  // What went wrong and was made up for, to be told to the user.
  void Warn(std::string warning);
  std::vector<std::string> TakeWarnings();

  // An agent that dies while it is asked gets one successor.
  static constexpr int kAttempts = 2;

 private:
  AgentLink(agent::Hello hello, std::filesystem::path executable, agent::Connection::Lost lost)
      : hello_(std::move(hello)), executable_(std::move(executable)), lost_(std::move(lost)) {}
  Result<void> Connect();
  void OnLost(std::vector<SaveJob> unfinished, const agent::Address& address);

  const agent::Hello hello_;
  const std::filesystem::path executable_;
  const agent::Connection::Lost lost_;
  const pid_t process_ = getpid();
  std::atomic<bool> is_closed_ = false;

  std::mutex connecting_;  // held while an agent is started; taken before mutex_

  std::mutex mutex_;
  // Guarded by mutex_:
  std::shared_ptr<agent::Connection> connection_;
  bool is_alone_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace bitsnap
