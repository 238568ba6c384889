#include "engine/agent/session.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "engine/agent/fields.h"
#include "engine/guard.h"

namespace bitsnap::agent {
namespace {

// A client that stops in the middle of a message, or does not read its answers, is given up.
constexpr timeval kStalled = {60, 0};
// Each has a thread.
constexpr size_t kMaxWaiters = 256;

Fd ProcessAt(int socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return Fd();
  return Fd(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));  // none before Linux 5.3
}

}  // namespace

Session::Session(Agent& agent, Fd socket)
    : agent_(agent),
      outbox_(std::make_shared<Outbox>(std::move(socket))),
      process_(ProcessAt(outbox_->socket())) {
  setsockopt(outbox_->socket(), SOL_SOCKET, SO_RCVTIMEO, &kStalled, sizeof(kStalled));
  setsockopt(outbox_->socket(), SOL_SOCKET, SO_SNDTIMEO, &kStalled, sizeof(kStalled));
}

void Session::Run() {
  // A client that asks for more memory or threads than there are loses its connection; the others
  // keep theirs.
  const Result<void> served = WithoutExceptions([this]() -> Result<void> {
    while (!is_over_ && WaitForRequest()) {
      Result<std::optional<Frame>> frame = ReceiveFrame(outbox_->socket());
      if (!frame || !*frame || !Handle(**std::move(frame))) break;
    }
    return {};
  });
  if (!served) agent_.log().Warn("a client lost its connection: " + served.error().message);
  Depart(/*is_goodbye=*/false);
  outbox_->Shutdown();
}

bool Session::WaitForRequest() const {
  pollfd events[] = {{outbox_->socket(), POLLIN, 0}, {process_.get(), POLLIN, 0}};
  while (poll(events, 2, -1) < 0) {
    if (errno != EINTR) return false;
  }
  // What a dead process sent is still read.
  return events[0].revents != 0;
}

bool Session::Handle(Frame frame) {
  Fields fields(frame.body);
  const uint64_t id = fields.U64("id");
  const auto verb = Verbs().find(fields.Text("do"));
  if (!fields.Check() || verb == Verbs().end()) return false;
  const bool is_first = lane_ == nullptr;
  if (is_first != (verb->first == "hello")) return false;
  if (agent_.is_ending() && (is_first || verb->first == "reserve")) {
    if (!is_first) lane_->WaitUntilIdle();  // what was handed over is told before
    return false;                           // another agent has the next one
  }
  if (verb->second.may_wait && fields.Bool("wait")) {
    AnswerOnThread(id, verb->second, std::move(frame));
  } else {
    Reply(id, (this->*verb->second.handler)(frame.body, std::move(frame.fd), {}));
  }
  return lane_ != nullptr;
}

void Session::AnswerOnThread(uint64_t id, const Verb& verb, Frame frame) {
  std::erase_if(waiters_, [](const auto& entry) { return entry.second->is_over.load(); });
  if (waiters_.size() >= kMaxWaiters) {
    return Reply(id, Fail(ErrorKind::kBusy, "too many requests of one client wait in the agent"));
  }
  auto& waiter = waiters_[id];
  waiter = std::make_unique<Waiter>();
  waiter->thread = std::jthread([this, id, handler = verb.handler, body = std::move(frame.body),
                                 over = &waiter->is_over](std::stop_token stop) {
    Reply(id, WithoutExceptions([&] { return (this->*handler)(body, std::nullopt, stop); }));
    *over = true;
  });
}

void Session::Reply(uint64_t id, Result<Answer> answer) {
  if (answer) {
    static_cast<void>(
        outbox_->Send({{"id", id}, {"ok", std::move(answer->body)}}, answer->fd.get()));
  } else {
    static_cast<void>(outbox_->Send({{"id", id}, {"error", ToJson(answer.error())}}));
  }
}

void Session::Depart(bool is_goodbye) {
  waiters_.clear();  // stops and joins them
  if (lane_ == nullptr || std::exchange(is_over_, true)) return;
  for (const uint64_t arena : lent_) lane_->Release(arena, /*is_intact=*/false);
  for (const uint64_t lease : leases_) lane_->EndLease(lease, /*is_intact=*/false);
  if (lane_->Leave(is_goodbye)) agent_.blobs().DropOf(rank_);
  agent_.Leave();
  agent_.log().Tell(fmt::format("rank {} left{}", rank_, is_goodbye ? "" : " without a goodbye"));
}

}  // namespace bitsnap::agent
