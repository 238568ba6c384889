// Copies in this process's memory, saved by a thread of its own.
#pragma once

#include <condition_variable>
#include <mutex>

#include "engine/arena_pool.h"
#include "engine/keeper.h"

namespace bitsnap {

class LocalKeeper final : public Keeper {
 public:
  // `max_memory` as in SaverOptions.
  LocalKeeper(Store store, uint64_t max_memory) : pool_(max_memory), queue_(std::move(store)) {}
  ~LocalKeeper() override { Close(false); }

  Result<std::unique_ptr<Reservation>> Reserve(uint64_t bytes, const SaveOptions& options,
                                               bool wait, std::stop_token stop) override;
  bool is_prepared() override;
  void Prepare(uint64_t bytes) override;
  void Close(bool forget) override;

  // Saves what lies in other memory, which job.done owns.
  void Save(SaveJob job) { queue_.Push(std::move(job)); }

 private:
  class LocalReservation;
  void GiveBack(Arena arena);

  std::mutex mutex_;
  // Guarded by mutex_:
  std::condition_variable_any changed_;  // pool_
  ArenaPool pool_;

  SaveQueue queue_;  // ends before the others go
};

}  // namespace bitsnap
