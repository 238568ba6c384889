// SaveTicket's other half: what the Saver tells through it.
#pragma once

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>

#include <bitsnap/saver.h>

namespace bitsnap {

using Clock = std::chrono::steady_clock;

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Lock rule: every member below `mutex` is guarded by it. Taken after the ledger's, never
// before.
struct SaveTicket::State {
  explicit State(uint64_t which) : step(which) {}

  void Finish(Result<SaveReport> outcome);
  void Skip();
  void Advance(uint64_t done, uint64_t total);
  // The failure, if there is one that nobody was told of yet; counts as told from now on.
  std::optional<Error> TakeFailure();

  const uint64_t step;
  const Clock::time_point start = Clock::now();
  const pid_t process = getpid();  // no other will ever finish it
  Staging staging;                 // not changed once Save has returned

  std::mutex mutex;
  std::condition_variable_any changed;
  SaveProgress progress;
  std::optional<Result<SaveReport>> result;
  std::optional<double> seconds_until_durable;
  bool told = false;  // of the failure
};

}  // namespace bitsnap
