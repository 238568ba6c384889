// Copies in the agent's memory, saved by the agent; by this process when there is no agent any
// more.
#pragma once

#include <memory>

#include <bitsnap/saver.h>

#include "engine/agent_link.h"
#include "engine/keeper.h"
#include "engine/local_keeper.h"

namespace bitsnap {

class AgentKeeper final : public Keeper {
 public:
  // Connects to the store's agent, or starts one. Requires: options.agent.
  static Result<std::unique_ptr<AgentKeeper>> Start(Store store, const SaverOptions& options);
  ~AgentKeeper() override;

  const std::shared_ptr<AgentLink>& link() const { return link_; }

  Result<std::unique_ptr<Reservation>> Reserve(uint64_t bytes, const SaveOptions& options,
                                               bool wait, std::stop_token stop) override;
  bool is_prepared() override;
  void Prepare(uint64_t bytes) override;
  void Close(bool forget) override;
  Result<void> Settle(std::stop_token stop) override;
  std::vector<std::string> TakeWarnings() override { return link_->TakeWarnings(); }

 private:
  class AgentReservation;
  AgentKeeper(Store store, const SaverOptions& options);
  void SaveHere(SaveJob job);

  LocalKeeper local_;
  std::shared_ptr<AgentLink> link_;  // set by Start
};

}  // namespace bitsnap
