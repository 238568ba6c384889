// One connection to an agent: requests and their answers, and what the agent tells unasked.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include "engine/agent/outbox.h"

namespace bitsnap::agent {

// Safe to use from several threads.
class Client {
 public:
  struct Events {
    std::function<void(const Json&)> told;
    std::function<void()> lost;  // once, after the last `told`: the agent is gone
  };

  // Takes a connected socket. `events` are called on a thread of its own, with no lock held.
  Client(Fd socket, Events events);
  // Disconnects. Must not be called from an event.
  ~Client();

  // Asks, and waits for the answer. kIo when the agent is gone; kCancelled when `stop` ended the
  // waiting, for requests that may wait.
  Result<Frame> Ask(const char* verb, Json request, int fd = -1, std::stop_token stop = {});
  // The same without waiting, from an event too; no answer is to be had.
  void Tell(const char* verb, Json request);
  // What was asked is answered with kIo from now on.
  void Disconnect() { outbox_.Shutdown(); }
  bool is_lost() const;

 private:
  struct Question {
    std::optional<Result<Frame>> answer;
  };
  void Listen();
  void Dispatch(Frame frame);
  void Lose();

  Outbox outbox_;
  const Events events_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::condition_variable_any answered_;  // a question, or all of them by being lost
  std::map<uint64_t, Question> questions_;
  uint64_t last_id_ = 0;
  bool is_lost_ = false;

  std::thread listener_;
};

}  // namespace bitsnap::agent
