// Who keeps the copies of states and saves them: this process, or the agent.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <bitsnap/result.h>
#include <bitsnap/store.h>

#include "engine/arena.h"
#include "engine/manifest.h"
#include "engine/save_queue.h"

namespace bitsnap {

// Memory for one copy. Given back when it is destroyed before Submit. One thread at a time, and
// must not outlive its Keeper.
class Reservation {
 public:
  virtual ~Reservation() = default;
  // At least what was asked for.
  virtual MutableBytes bytes() const = 0;
  // Hands the copy over: from here on nobody may change it. `done` is called once, on another
  // thread or, when it could not be handed over, on this one.
  virtual void Submit(Manifest manifest, SaveOptions options, SaveDone done) = 0;
};

// Safe to use from several threads.
class Keeper {
 public:
  virtual ~Keeper() = default;

  // Memory for a copy of `bytes`, which will be saved as `options` say. Null when earlier saves
  // hold it and `wait` is false. kCancelled when `stop` ended the waiting.
  virtual Result<std::unique_ptr<Reservation>> Reserve(uint64_t bytes, const SaveOptions& options,
                                                       bool wait, std::stop_token stop) = 0;

  // Whether the memory is there that saves which do not overlap need.
  virtual bool is_prepared() = 0;
  // Makes a part of it, enough for a copy of `bytes`; what fails is left to Reserve.
  virtual void Prepare(uint64_t bytes) = 0;

  // Finishes what is queued and gives the memory back. Nothing may be reserved afterwards. What the
  // agent keeps for a restart goes too when `forget` is set.
  virtual void Close(bool forget) = 0;

  // Waits for saves that earlier processes handed to the agent.
  virtual Result<void> Settle(std::stop_token) { return {}; }
  virtual std::vector<std::string> TakeWarnings() { return {}; }
};

}  // namespace bitsnap
