// Saving that goes on in the background while training does (docs/engine.md).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include <bitsnap/agent_memory.h>
#include <bitsnap/options.h>
#include <bitsnap/result.h>
#include <bitsnap/store.h>
#include <bitsnap/tensor.h>

namespace bitsnap {

// What Saver::Save does when the memory for copies is taken by saves that are not finished.
enum class OnBusy {
  kWait,   // until there is room
  kSkip,   // leave this save out; its ticket says so
  kError,  // fail with kBusy
};

// Copies lie in the memory of the store's agent, a process that all Savers of a store share on one
// machine and that saves them; it outlives a training process that dies.
struct AgentOptions {
  std::filesystem::path executable = "bitsnap";  // that starts it; without a slash, on PATH
  // How long it keeps the newest state once nobody is there who said nothing of being done.
  std::chrono::seconds linger{900};
  uint32_t rank = 0;  // each has memory, a bound and a newest state of its own
  uint32_t world_size = 1;
};

struct SaverOptions {
  // Most bytes that copies of states may take; 0: twice the largest state saved so far. Coding
  // takes up to 64 MiB a thread besides.
  uint64_t max_memory = 0;
  OnBusy on_busy = OnBusy::kWait;
  std::optional<AgentOptions> agent;  // absent: this process copies and saves
};

// What a save cost its caller.
struct Staging {
  bool skipped = false;        // OnBusy::kSkip left it out
  double waited_seconds = 0;   // for room
  double blocked_seconds = 0;  // all of Saver::Save: waiting and copying
};

struct SaveProgress {
  uint64_t done = 0;   // raw bytes coded and written
  uint64_t total = 0;  // 0 while the save is queued
};

// One save under way. Cheap to copy, safe to use from several threads, outlives its Saver.
class SaveTicket {
 public:
  struct State;
  explicit SaveTicket(std::shared_ptr<State> state);

  uint64_t step() const;
  const Staging& staging() const;
  SaveProgress progress() const;
  // Whether Wait would return at once: durable, failed or skipped.
  bool finished() const;
  // From the call of Save until it was durable; absent before, and for ever after a failure.
  std::optional<double> seconds_until_durable() const;

  // Waits until the step is durable or has failed, and says which; the Saver then raises this
  // failure no more. kCancelled for a skipped save, or when `stop` ended the waiting: the save goes
  // on.
  Result<SaveReport> Wait(std::stop_token stop = {}) const;

 private:
  std::shared_ptr<State> state_;
};

// Copies states and saves the copies, one after the other, on a thread of its own, which is less
// urgent to the scheduler than the one that made the Saver.
//
// A save that fails in the background leaves the store as it was, and the ones queued behind it go
// on. Its error is returned by its ticket's Wait or else, once, by the next call of Save, Wait or
// Close, which then does nothing more.
//
// Safe to use from several threads; no lock is held while copying, coding or writing. SaveOptions'
// progress is called on the background thread. After fork() the child has no background thread and
// no copies: there Save, Wait and Close fail with kInvalidArgument, and the destructor does
// nothing.
//
// With an agent, copies and saves are the agent's. Where it dies, this process finishes what is
// under way from the memory that it shares, the next Save starts another agent, and if that fails
// this process goes on as it does without one; TakeWarnings says so.
class Saver {
 public:
  // With an agent: connects to it, or starts it; its errors.
  static Result<Saver> Start(Store store, const SaverOptions& options = {});
  Saver(Saver&&) noexcept;
  Saver& operator=(Saver&&) noexcept;
  ~Saver();  // as Leave, dropping its error

  // Brings in the memory for a copy of a state of `bytes` (each tensor's rounded up to 64), in the
  // background: the first Save, which otherwise does it, then blocks no longer than the others.
  // Does nothing where there is memory for copies already; what goes wrong is told by Save.
  Result<void> Prepare(uint64_t bytes);

  // Returns as soon as the caller may change its tensors. What Store::Check finds is returned here,
  // what goes wrong later by the ticket. kInvalidArgument when the state is larger than max_memory;
  // kBusy as OnBusy says; kCancelled when `stop` ended the waiting for room.
  Result<SaveTicket> Save(std::span<const TensorView> tensors, const SaveOptions& options,
                          std::stop_token stop = {});

  // Waits until all saves are durable or have failed, those too that an earlier process of this
  // rank handed to the agent. kCancelled when `stop` ended the waiting.
  Result<void> Wait(std::stop_token stop = {});

  // Finishes what is queued, ends the thread and gives the memory back; only Save is of no use
  // afterwards. kCancelled when `stop` ended the waiting: the Saver is then still open.
  // The agent forgets this rank's state, and ends with the last rank.
  Result<void> Close(std::stop_token stop = {});
  // The same, but the agent keeps the newest state for a restart, as long as it lingers.
  Result<void> Leave(std::stop_token stop = {});

  // What went wrong with the agent since the last call, and was made up for.
  std::vector<std::string> TakeWarnings();

  // What the agent keeps beyond this process's life; absent without an agent.
  std::optional<AgentMemory> agent_memory() const;

  // The step that this Saver made durable last.
  std::optional<uint64_t> last_durable_step() const;
  // Saves that are not finished.
  size_t pending() const;

 private:
  class Impl;
  explicit Saver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitsnap
