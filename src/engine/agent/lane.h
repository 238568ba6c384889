// What the agent keeps for one rank: the memory of its states, the saves under way, and the newest
// state.
#pragma once

#include <sys/stat.h>

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/arena_pool.h"
#include "engine/save_queue.h"

namespace bitsnap::agent {

// Memory lent to a client.
struct Lent {
  uint64_t id = 0;
  int fd = -1;  // open as long as it is lent
  uint64_t bytes = 0;
  std::vector<uint64_t> alive;  // all arenas of the lane; the client lets go of any other
};

// A state handed over, for a client to read.
struct Lease {
  uint64_t id = 0;
  int fd = -1;  // open as long as it is leased
  Manifest manifest;
  SaveOptions options;
};

// Safe to use from several threads. Its lock is held while memory is allocated, but neither while
// saving nor while anybody is told.
class Lane {
 public:
  // Tells the client; false when it is gone.
  using Tell = std::function<bool(const Result<SaveReport>&)>;

  explicit Lane(Store store);

  // A client comes, with its bound on memory. The last one that leaves with `forget` set, having
  // done all it wanted, takes the newest state with it; returns whether it was that.
  void Enter(uint64_t max_memory);
  bool Leave(bool forget);
  // Nobody of this rank will come again: unless somebody is there, what it has goes once it is
  // saved.
  void Forget();

  // As Keeper::Reserve. Where the bound leaves no room for two states, the newest one is given up
  // once it is saved.
  Result<std::optional<Lent>> Reserve(uint64_t bytes, uint64_t step, bool overwrite, bool wait,
                                      std::stop_token stop);
  // Memory for a state to come, made beforehand. nullopt where the bound has no room beside what is
  // there; nothing is given up for it.
  Result<std::optional<Lent>> ReserveSpare(uint64_t bytes);
  // `is_intact` false: its client may still write to it, so that nobody else gets it.
  void Release(uint64_t arena, bool is_intact);
  // The state is there completely: it is the newest now, and is saved. kInvalidArgument when the
  // arena is not lent or too small.
  Result<void> Submit(uint64_t arena, Manifest manifest, SaveOptions options, Tell tell);

  // The newest state, unless its file on disk was removed, replaced or left behind by another run
  // since, or the whole store is another.
  // Its memory counts in the bound until it is given back.
  std::optional<Lease> LeaseNewest();
  void EndLease(uint64_t id, bool is_intact);

  // Waits until nothing is under way and all are told. Returns the failures that no client was told
  // of.
  Result<std::vector<std::string>> Settle(std::stop_token stop);
  // The same, and the failures stay.
  void WaitUntilIdle();

  bool is_idle() const;
  bool has_clients() const;
  size_t under_way() const;  // states handed over and not saved yet
  bool remembers() const;    // has a newest state

 private:
  struct State {
    Arena arena;
    Manifest manifest;
    SaveOptions options;
    bool is_saving = true;  // until its client was told
    bool is_durable = false;
    bool is_intact = true;  // no client may use the memory in the belief that it has it
    std::vector<uint64_t> leases;
  };

  void ForgetAll();
  bool IsIdle() const;
  bool IsBeingSaved(uint64_t step) const;
  bool MayGiveUpNewest() const;
  bool IsStillThere(const State& state) const;
  void Finish(State& state, const Tell& tell, const Result<SaveReport>& report);
  void Tidy();
  Lent Lend(Arena arena);

  const Store store_;
  const struct stat directory_;  // the store's, when the lane began

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::condition_variable_any changed_;  // any of what follows
  ArenaPool pool_{0, Arena::MapShared};
  std::map<uint64_t, Arena> lent_;  // by the arena's id
  std::list<State> states_;         // under way, leased or the newest
  State* newest_ = nullptr;         // of states_
  bool is_forgotten_ = false;       // nothing is kept for a client to come
  uint64_t last_lease_ = 0;
  size_t clients_ = 0;
  size_t telling_ = 0;  // saves that are over, whose clients are being told
  std::vector<std::string> untold_;

  SaveQueue queue_;  // ends before the others go
};

}  // namespace bitsnap::agent
