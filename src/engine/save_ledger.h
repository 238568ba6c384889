// Which saves of a Saver are under way, have failed, and are durable.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "engine/ticket.h"

namespace bitsnap {

// Safe to use from several threads.
class SaveLedger {
 public:
  // A call of Save begins, and Leave must follow. Nothing begins, and the error is told, when an
  // earlier save failed and nobody was told of it, when the ledger is closed, and, unless
  // `overwrite`, when the step is under way (kAlreadyExists).
  Result<void> Enter(uint64_t step, bool overwrite);
  void Leave();

  // The step is under way from here to there.
  void HandOver(uint64_t step);
  void Finish(const std::shared_ptr<SaveTicket::State>& ticket, Result<SaveReport> report);

  // Until no call of Save and no save is under way; kCancelled when `stop` comes first.
  Result<void> WaitUntilIdle(const std::stop_token& stop);
  // Waits likewise, and lets nothing begin from then on. Whether it was open until now.
  Result<bool> Close(const std::stop_token& stop);

  // The oldest failure that nobody was told of; who gets it is told.
  Result<void> TakeFailure();

  bool is_closed() const;
  std::optional<uint64_t> last_durable_step() const;
  size_t pending() const;

 private:
  // These require mutex_ held.
  Result<void> WaitUntilIdle(std::unique_lock<std::mutex>& lock, const std::stop_token& stop);
  Result<void> TakeFailureLocked();

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  // Guarded by mutex_:
  std::vector<uint64_t> pending_;  // steps handed over and not finished
  size_t staging_ = 0;             // calls of Save that have not returned
  std::deque<std::shared_ptr<SaveTicket::State>> failed_;
  std::optional<uint64_t> last_durable_;
  bool closed_ = false;
};

}  // namespace bitsnap
