#include "engine/agent_link.h"

#include <fmt/format.h>

#include "base/try.h"

namespace bitsnap {

Result<std::shared_ptr<AgentLink>> AgentLink::Open(agent::Hello hello,
                                                   std::filesystem::path executable,
                                                   agent::Connection::Lost lost) {
  std::shared_ptr<AgentLink> link(
      new AgentLink(std::move(hello), std::move(executable), std::move(lost)));
  BITSNAP_TRY(link->Connect());
  return link;
}

// Requires: connecting_ held, or no other thread.
Result<void> AgentLink::Connect() {
  BITSNAP_ASSIGN(const agent::Address address, agent::AddressOf(hello_.store));
  BITSNAP_ASSIGN(auto connection,
                 agent::Connection::Open(hello_, address, executable_,
                                         [this, address](std::vector<SaveJob> unfinished) {
                                           OnLost(std::move(unfinished), address);
                                         }));
  std::lock_guard lock(mutex_);
  connection_.swap(connection);
  return {};
}

// On the thread of a connection whose agent is gone.
void AgentLink::OnLost(std::vector<SaveJob> unfinished, const agent::Address& address) {
  Warn(
      fmt::format("the agent of {} is gone; {} unfinished save(s) are finished in this process, "
                  "and the next one starts another agent; {} may tell why",
                  address.store.string(), unfinished.size(), address.log.string()));
  lost_(std::move(unfinished));
}

std::shared_ptr<agent::Connection> AgentLink::Agent() {
  std::lock_guard connecting(connecting_);
  const auto current = Current();
  if (!current || !current->is_lost()) return current;
  const Result<void> connected = Connect();
  std::lock_guard lock(mutex_);
  if (connected) return connection_;
  is_alone_ = true;
  warnings_.push_back(
      fmt::format("{}; from now on this process saves for itself", connected.error().message));
  return nullptr;
}

std::shared_ptr<agent::Connection> AgentLink::Current() {
  std::lock_guard lock(mutex_);
  return is_alone_ ? nullptr : connection_;
}

Result<void> AgentLink::CheckOpen() const {
  if (getpid() != process_) {
    return Fail(ErrorKind::kInvalidArgument,
                "the agent's memory cannot be used after fork(); start a new Saver in the child");
  }
  if (is_closed_) {
    return Fail(ErrorKind::kInvalidArgument, "this Saver is closed; start another");
  }
  return {};
}

void AgentLink::Close(bool forget) {
  is_closed_ = true;
  std::shared_ptr<agent::Connection> connection;
  {
    std::lock_guard lock(mutex_);
    connection = connection_;
  }
  if (connection) connection->Leave(forget);
}

void AgentLink::Warn(std::string warning) {
  std::lock_guard lock(mutex_);
  warnings_.push_back(std::move(warning));
}

std::vector<std::string> AgentLink::TakeWarnings() {
  std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

}  // namespace bitsnap
