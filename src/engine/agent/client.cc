#include "engine/agent/client.h"

#include "base/try.h"
#include "engine/agent/fields.h"
#include "engine/agent/messages.h"

namespace bitsnap::agent {
namespace {

tl::unexpected<Error> Lost() { return Fail(ErrorKind::kIo, "the agent is gone"); }

}  // namespace

Client::Client(Fd socket, Events events)
    : outbox_(std::move(socket)), events_(std::move(events)), listener_([this] { Listen(); }) {}

Client::~Client() {
  outbox_.Shutdown();
  listener_.join();
}

Result<Frame> Client::Ask(const char* verb, Json request, int fd, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (is_lost_) return Lost();
  const uint64_t id = ++last_id_;
  Question& question = questions_[id];
  lock.unlock();

  request["id"] = id;
  request["do"] = verb;
  const Result<void> sent = outbox_.Send(request, fd);
  lock.lock();
  // Where the other end is gone, all questions are about to be answered so.
  if (!sent && sent.error().kind != ErrorKind::kIo && !question.answer) {
    question.answer = tl::make_unexpected(sent.error());
  }
  const auto is_answered = [&] { return question.answer.has_value(); };
  if (!answered_.wait(lock, stop, is_answered)) {
    lock.unlock();
    // The answer may be on its way all the same; it comes in any case.
    Tell("cancel", {{"request", id}});
    lock.lock();
    answered_.wait(lock, is_answered);
  }
  Result<Frame> answer = *std::move(question.answer);
  questions_.erase(id);
  return answer;
}

void Client::Tell(const char* verb, Json request) {
  request["id"] = 0;  // no question's
  request["do"] = verb;
  static_cast<void>(outbox_.Send(request));
}

bool Client::is_lost() const {
  std::lock_guard lock(mutex_);
  return is_lost_;
}

void Client::Listen() {
  while (true) {
    Result<std::optional<Frame>> frame = ReceiveFrame(outbox_.socket());
    if (!frame || !*frame) break;
    Dispatch(**std::move(frame));
  }
  Lose();
}

void Client::Dispatch(Frame frame) {
  if (!frame.body.contains("id")) {
    events_.told(frame.body);
    return;
  }
  const uint64_t id = Fields(frame.body).U64("id");
  Result<Frame> answer = Fail(ErrorKind::kCorrupt, "the agent's answer makes no sense");
  if (const auto ok = frame.body.find("ok"); ok != frame.body.end() && ok->is_object()) {
    answer = Frame{std::move(*ok), std::move(frame.fd)};
  } else if (const auto error = frame.body.find("error"); error != frame.body.end()) {
    Result<Error> told = ToError(*error);
    answer = tl::make_unexpected(told ? *std::move(told) : std::move(told).error());
  }
  std::lock_guard lock(mutex_);
  const auto question = questions_.find(id);
  if (question == questions_.end()) return;  // to "cancel"
  question->second.answer = std::move(answer);
  answered_.notify_all();
}

void Client::Lose() {
  // First, so that who is answered that the agent is gone finds all that follows from it done.
  events_.lost();
  std::lock_guard lock(mutex_);
  is_lost_ = true;
  for (auto& [id, question] : questions_) {
    if (!question.answer) question.answer = Lost();
  }
  answered_.notify_all();
}

}  // namespace bitsnap::agent
