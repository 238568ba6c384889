// Copies in the agent's memory, saved by the agent; by this process where there is none any more.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include <bitsnap/saver.h>

#include "engine/agent/connection.h"
#include "engine/keeper.h"
#include "engine/local_keeper.h"

namespace bitsnap {

class AgentKeeper final : public Keeper {
 public:
  // Connects to the store's agent, or starts one. Requires: options.agent.
  static Result<std::unique_ptr<Keeper>> Start(Store store, const SaverOptions& options);
  ~AgentKeeper() override;

  Result<std::unique_ptr<Reservation>> Reserve(uint64_t bytes, const SaveOptions& options,
                                               bool wait, std::stop_token stop) override;
  bool is_prepared() override;
  void Prepare(uint64_t bytes) override;
  void Close(bool forget) override;
  Result<void> Settle(std::stop_token stop) override;
  Result<std::optional<Snapshot>> Newest() override;
  std::vector<std::string> TakeWarnings() override;
  Result<void> Hold(const std::string& key, Bytes content) override;
  Result<std::vector<std::string>> Held() override;
  Result<std::shared_ptr<const Arena>> Fetch(const std::string& key) override;
  Result<void> Drop(const std::vector<std::string>& keys) override;

 private:
  class Lent;
  AgentKeeper(Store store, const SaverOptions& options);
  Result<void> Connect();
  // The agent, a new one where it died; null when this process is on its own from now on.
  std::shared_ptr<agent::Connection> Agent();
  // What the agent answers, or its successor where it dies meanwhile; kIo where there is none.
  template <class Question>
  auto Ask(const Question& question)
      -> decltype(question(std::declval<std::shared_ptr<agent::Connection>>()));
  void TakeOver(std::vector<SaveJob> unfinished);
  void SaveHere(SaveJob job);
  void Warn(std::string warning);

  const Store store_;
  const AgentOptions options_;
  const agent::Hello hello_;

  std::mutex connecting_;  // held while an agent is started; taken before mutex_

  std::mutex mutex_;
  // Guarded by mutex_:
  std::shared_ptr<agent::Connection> connection_;
  bool is_alone_ = false;
  std::vector<std::string> warnings_;

  LocalKeeper local_;
};

}  // namespace bitsnap
