#include "engine/save_ledger.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {

Result<void> SaveLedger::Enter(uint64_t step, bool overwrite) {
  std::lock_guard lock(mutex_);
  BITSNAP_TRY(TakeFailureLocked());
  if (closed_) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("step {}: this Saver is closed; start another", step));
  }
  const bool is_pending = std::find(pending_.begin(), pending_.end(), step) != pending_.end();
  if (is_pending && !overwrite) {
    return Fail(
        ErrorKind::kAlreadyExists,
        fmt::format("step {} is being saved already; save another step, or overwrite", step));
  }
  ++staging_;
  return {};
}

void SaveLedger::Leave() {
  std::lock_guard lock(mutex_);
  --staging_;
  changed_.notify_all();
}

void SaveLedger::HandOver(uint64_t step) {
  std::lock_guard lock(mutex_);
  pending_.push_back(step);
}

void SaveLedger::Finish(const std::shared_ptr<SaveTicket::State>& ticket,
                        Result<SaveReport> report) {
  std::lock_guard lock(mutex_);
  pending_.erase(std::find(pending_.begin(), pending_.end(), ticket->step));
  if (report) {
    last_durable_ = ticket->step;
  } else {
    failed_.push_back(ticket);
  }
  ticket->Finish(std::move(report));
  changed_.notify_all();
}

Result<void> SaveLedger::WaitUntilIdle(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  return WaitUntilIdle(lock, stop);
}

Result<void> SaveLedger::WaitUntilIdle(std::unique_lock<std::mutex>& lock,
                                       const std::stop_token& stop) {
  const auto is_idle = [this] { return pending_.empty() && staging_ == 0; };
  if (changed_.wait(lock, stop, is_idle)) return {};
  return Fail(ErrorKind::kCancelled, "waiting for saves was cancelled; they go on");
}

Result<bool> SaveLedger::Close(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  BITSNAP_TRY(WaitUntilIdle(lock, stop));
  return !std::exchange(closed_, true);
}

Result<void> SaveLedger::TakeFailure() {
  std::lock_guard lock(mutex_);
  return TakeFailureLocked();
}

Result<void> SaveLedger::TakeFailureLocked() {
  while (!failed_.empty()) {
    const auto ticket = std::move(failed_.front());
    failed_.pop_front();
    if (std::optional<Error> error = ticket->TakeFailure()) {
      return Fail(error->kind, fmt::format("step {} could not be saved in the background: {}",
                                           ticket->step, error->message));
    }
  }
  return {};
}

bool SaveLedger::is_closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

std::optional<uint64_t> SaveLedger::last_durable_step() const {
  std::lock_guard lock(mutex_);
  return last_durable_;
}

size_t SaveLedger::pending() const {
  std::lock_guard lock(mutex_);
  return pending_.size();
}

}  // namespace bitsnap
