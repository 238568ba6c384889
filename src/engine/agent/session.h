// One client of the agent, as the agent sees it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "engine/agent/agent.h"
#include "engine/agent/messages.h"
#include "engine/agent/outbox.h"

namespace bitsnap::agent {

// Runs on a thread of its own; what may have to wait (for room, for saves) on one more each.
class Session {
 public:
  // `socket` is connected to a process of this user.
  Session(Agent& agent, Fd socket);

  // Answers requests until the client says goodbye, breaks the protocol or is gone: its end of the
  // socket closed, or its process dead, though children may have inherited the socket.
  void Run();
  // From any thread: Run returns soon.
  void Stop() { outbox_->Shutdown(); }

 private:
  struct Answer {
    Json body = Json::object();
    Fd fd;  // goes with it
  };
  using Handler = Result<Answer> (Session::*)(const Json& request, std::optional<Fd> fd,
                                              std::stop_token stop);
  struct Verb {
    Handler handler;
    bool may_wait = false;
  };
  // A request that waits on a thread of its own.
  struct Waiter {
    std::atomic<bool> is_over = false;
    std::jthread thread;
  };
  static const std::map<std::string, Verb, std::less<>>& Verbs();

  // False when the client is gone.
  bool WaitForRequest() const;
  // False for what is no request.
  bool Handle(Frame frame);
  void AnswerOnThread(uint64_t id, const Verb& verb, Frame frame);
  void Reply(uint64_t id, Result<Answer> answer);
  // Gives back what the client had. Not twice.
  void Depart(bool is_goodbye);

  // One for each of the Verbs, in session_verbs.cc.
  Result<Answer> Greet(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Reserve(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> ReserveSpare(const Json&, std::optional<Fd>, std::stop_token);
  Answer Lend(const std::optional<Lent>& lent);
  Result<Answer> Release(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Submit(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Cancel(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> CancelSave(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Newest(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> EndLease(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Settle(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Hold(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Held(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Fetch(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Drop(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Leave(const Json&, std::optional<Fd>, std::stop_token);
  Result<Answer> Goodbye(const Json&, std::optional<Fd>, std::stop_token);

  Agent& agent_;
  const std::shared_ptr<Outbox> outbox_;  // saves outlive the session
  Fd process_;                            // the client's, as a pidfd; none where it cannot be told

  // The session thread's own:
  Lane* lane_ = nullptr;  // once greeted
  uint32_t rank_ = 0;
  bool is_over_ = false;
  std::map<uint64_t, std::unique_ptr<Waiter>> waiters_;  // by request
  // Saves under way and those just finished; set to true they are cancelled.
  std::map<uint64_t, std::weak_ptr<std::atomic<bool>>> cancelled_;

  std::mutex mutex_;
  // Guarded by mutex_:
  std::set<uint64_t> lent_;  // arenas
  std::set<uint64_t> leases_;
};

}  // namespace bitsnap::agent
