#include "engine/ticket.h"

#include <fmt/format.h>

namespace bitsnap {

void SaveTicket::State::Finish(Result<SaveReport> outcome) {
  std::lock_guard lock(mutex);
  if (outcome) seconds_until_durable = SecondsSince(start);
  result = std::move(outcome);
  changed.notify_all();
}

void SaveTicket::State::Skip() {
  staging.skipped = true;
  told = true;
  Finish(Fail(ErrorKind::kCancelled,
              fmt::format("step {} was skipped: earlier saves were not finished", step)));
}

void SaveTicket::State::Advance(uint64_t done, uint64_t total) {
  std::lock_guard lock(mutex);
  progress = {done, total};
}

std::optional<Error> SaveTicket::State::TakeFailure() {
  std::lock_guard lock(mutex);
  if (told || !result || result->has_value()) return std::nullopt;
  told = true;
  return result->error();
}

SaveTicket::SaveTicket(std::shared_ptr<State> state) : state_(std::move(state)) {}

uint64_t SaveTicket::step() const { return state_->step; }

const Staging& SaveTicket::staging() const { return state_->staging; }

SaveProgress SaveTicket::progress() const {
  std::lock_guard lock(state_->mutex);
  return state_->progress;
}

bool SaveTicket::finished() const {
  std::lock_guard lock(state_->mutex);
  return state_->result.has_value();
}

std::optional<double> SaveTicket::seconds_until_durable() const {
  std::lock_guard lock(state_->mutex);
  return state_->seconds_until_durable;
}

Result<SaveReport> SaveTicket::Wait(std::stop_token stop) const {
  if (getpid() != state_->process) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("step {} is being saved by another process, the one that called fork; "
                            "wait for it there",
                            state_->step));
  }
  std::unique_lock lock(state_->mutex);
  if (!state_->changed.wait(lock, stop, [&] { return state_->result.has_value(); })) {
    return Fail(
        ErrorKind::kCancelled,
        fmt::format("waiting for step {} was cancelled; it is still being saved", state_->step));
  }
  if (!*state_->result) state_->told = true;
  return *state_->result;
}

}  // namespace bitsnap
