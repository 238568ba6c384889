// Copied states on their way to the store.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include <bitsnap/store.h>

#include "engine/manifest.h"

namespace bitsnap {

using SaveDone = std::function<void(Result<SaveReport>)>;

struct SaveJob {
  Manifest manifest;
  Bytes memory;  // where `manifest` places the tensors; stays as it is until `done` is called
  SaveOptions options;
  SaveDone done;  // called once, on the queue's thread
};

// Saves one state after the other on a thread of its own, which is less urgent to the scheduler
// than the others. Safe to use from several threads; the queue's lock is held neither while saving
// nor while `done` runs.
class SaveQueue {
 public:
  explicit SaveQueue(Store store);
  ~SaveQueue() { Close(); }

  void Push(SaveJob job);
  // Finishes what is queued and ends the thread. Nothing may be pushed afterwards.
  void Close();

 private:
  void Run();

  Store store_;

  std::mutex mutex_;
  // Guarded by mutex_:
  std::condition_variable changed_;  // jobs_ or closing_
  std::deque<SaveJob> jobs_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace bitsnap
