// What all clients of one agent share, and when it is of no more use.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include <bitsnap/agent.h>

#include "engine/agent/blobs.h"
#include "engine/agent/lane.h"
#include "engine/agent/log.h"

namespace bitsnap::agent {

using Clock = std::chrono::steady_clock;

// Safe to use from several threads. Lock rule: no lane is called with its lock held but Forget and
// what only asks.
class Agent {
 public:
  // Waits as long as `patience` for its first client; nullopt: for ever.
  Agent(Store store, std::optional<std::chrono::seconds> patience, Log& log,
        AgentEvents events = {});

  const Store& store() const { return store_; }
  Blobs& blobs() { return blobs_; }
  Log& log() { return log_; }
  // Lanes stay as long as the agent.
  Lane& LaneOf(uint32_t rank);

  // Clients come and go. With the last one, `linger` begins when anything is remembered. One of a
  // smaller world than before makes the agent forget the states of ranks that it has not, once they
  // are saved; what those ranks hold for others stays.
  void Join(uint32_t world_size, std::chrono::seconds linger);
  void Leave();

  // Of a save for which no thread was asked for in particular: the cores are shared by the ranks
  // that are there.
  unsigned ThreadsOfOneSave() const;
  // A save is over; `told` says whether its client got the report.
  void TellSaved(const SaveOptions& options, const Result<SaveReport>& report, bool told);

  // From now on it only finishes what was handed over.
  void End();
  bool is_ending() const { return is_ending_; }

  bool is_idle() const;
  // Until it has no more reason to run, when nobody comes: zero at once, nullopt as long as
  // clients are there or saves are under way.
  std::optional<Clock::duration> TimeLeft() const;

 private:
  const Store store_;
  Log& log_;
  const AgentEvents events_;
  std::mutex telling_;  // held while any of events_ is called; taken with no other lock held
  std::atomic<bool> is_ending_ = false;
  Blobs blobs_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::map<uint32_t, std::unique_ptr<Lane>> lanes_;
  size_t clients_ = 0;
  std::optional<Clock::duration> patience_;  // from `left_` on
  Clock::time_point left_ = Clock::now();    // when the last client did
  bool joined_ = false;                      // one was there
};

}  // namespace bitsnap::agent
