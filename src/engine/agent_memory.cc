#include <bitsnap/agent_memory.h>

#include "base/try.h"
#include "engine/agent_link.h"
#include "engine/guard.h"

namespace bitsnap {

using agent::Connection;

Result<std::optional<Snapshot>> AgentMemory::Newest() const {
  BITSNAP_TRY(link_->CheckOpen());
  return WithoutExceptions([&]() -> Result<std::optional<Snapshot>> {
    const auto connection = link_->Agent();
    if (!connection) return std::nullopt;
    auto newest = Connection::Newest(connection);
    if (!newest && connection->is_lost()) return std::nullopt;  // with all that it remembered
    return newest;
  });
}

Result<void> AgentMemory::Hold(const std::string& key, std::span<const std::byte> content) const {
  BITSNAP_TRY(link_->CheckOpen());
  return WithoutExceptions([&] {
    return link_->Ask([&](const auto& connection) { return connection->Hold(key, content); });
  });
}

// An agent that is gone holds nothing, which is no error for those who look elsewhere too.

Result<std::vector<std::string>> AgentMemory::Held() const {
  BITSNAP_TRY(link_->CheckOpen());
  return WithoutExceptions([&]() -> Result<std::vector<std::string>> {
    auto keys = link_->Ask([](const auto& connection) { return connection->Held(); });
    if (!keys && !link_->Current()) return std::vector<std::string>();
    return keys;
  });
}

Result<std::shared_ptr<const std::span<const std::byte>>> AgentMemory::Fetch(
    const std::string& key) const {
  using Content = std::span<const std::byte>;
  struct Mapped {
    std::shared_ptr<const Arena> memory;
    Content bytes;
  };
  BITSNAP_TRY(link_->CheckOpen());
  return WithoutExceptions([&]() -> Result<std::shared_ptr<const Content>> {
    BITSNAP_ASSIGN(auto memory,
                   link_->Ask([&](const auto& connection) { return connection->Fetch(key); }));
    const auto mapped = std::make_shared<const Mapped>(Mapped{memory, memory->bytes()});
    return std::shared_ptr<const Content>(mapped, &mapped->bytes);
  });
}

Result<void> AgentMemory::Drop(const std::vector<std::string>& keys) const {
  BITSNAP_TRY(link_->CheckOpen());
  return WithoutExceptions([&]() -> Result<void> {
    const auto dropped = link_->Ask([&](const auto& connection) { return connection->Drop(keys); });
    if (!dropped && !link_->Current()) return {};
    return dropped;
  });
}

}  // namespace bitsnap
