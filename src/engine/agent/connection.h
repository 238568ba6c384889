// What a Saver has at one agent: memory lent by it, saves under way in it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/agent/address.h"
#include "engine/agent/client.h"
#include "engine/agent/messages.h"
#include "engine/arena.h"
#include "engine/save_queue.h"

namespace bitsnap::agent {

// Memory lent. Mapped as long as somebody has it, whatever becomes of the agent.
struct Borrowed {
  uint64_t arena = 0;
  std::shared_ptr<const Arena> memory;
};

// Safe to use from several threads. No lock is held while the agent is asked.
class Connection {
 public:
  // Called once, on the connection's thread, when the agent is gone, with what it has not finished.
  using Lost = std::function<void(std::vector<SaveJob> unfinished)>;

  // Connects to the agent at `address`, starting one with `executable` where there is none. An
  // agent that is about to end is waited for.
  static Result<std::shared_ptr<Connection>> Open(Hello hello, const Address& address,
                                                  const std::filesystem::path& executable,
                                                  Lost lost);
  bool is_lost() const { return client_->is_lost(); }

  // nullopt when earlier saves hold the memory and `wait` is false.
  Result<std::optional<Borrowed>> Reserve(uint64_t bytes, const SaveOptions& options, bool wait,
                                          std::stop_token stop);
  void Release(const Borrowed& borrowed);
  // Makes and maps memory for one more state, where the bound allows it, and gives it back: so the
  // next Reserve takes no time.
  void WarmSpare(uint64_t bytes);
  // Arenas of the agent that are mapped here.
  size_t mapped();
  // Hands a state over; job.memory is that of `borrowed`. Gives the job back where the agent
  // refused it; nullopt when it has it, or Lost was told of it.
  std::optional<SaveJob> Submit(const Borrowed& borrowed, SaveJob job);
  // Waits until the agent has nothing under way for this rank. Returns the failures of saves that
  // earlier processes handed over.
  Result<std::vector<std::string>> Settle(std::stop_token stop);
  // The snapshot keeps the connection open.
  static Result<std::optional<Snapshot>> Newest(std::shared_ptr<Connection> connection);
  // Disconnects; Lost is not called any more. After a goodbye the agent forgets this rank.
  void Leave(bool is_goodbye);

  Result<void> Hold(const std::string& key, Bytes content);
  Result<std::vector<std::string>> Held();
  Result<std::shared_ptr<const Arena>> Fetch(const std::string& key);
  Result<void> Drop(const std::vector<std::string>& keys);

 private:
  explicit Connection(Lost lost) : lost_(std::move(lost)) {}
  void Greeted();
  void OnTold(const Json& event);
  void OnLost();
  // kCorrupt when the memory lent is less than was `wanted`, or that of a save under way.
  Result<std::optional<Borrowed>> ToBorrowed(Frame answer, uint64_t wanted);
  Result<std::shared_ptr<const Arena>> MemoryOf(uint64_t arena, uint64_t bytes,
                                                std::optional<Fd> fd, const Json& alive);

  // A state handed over. Its memory is read again should the agent die.
  struct UnderWay {
    uint64_t arena;
    SaveJob job;
  };

  const Lost lost_;
  std::mutex mutex_;
  // Guarded by mutex_:
  std::map<uint64_t, std::shared_ptr<const Arena>> mapped_;  // by arena, as long as the agent's
  std::map<uint64_t, UnderWay> saves_;
  uint64_t last_save_ = 0;
  bool is_greeted_ = false;
  bool is_leaving_ = false;

  std::unique_ptr<Client> client_;  // goes first: its thread uses the others
};

}  // namespace bitsnap::agent
