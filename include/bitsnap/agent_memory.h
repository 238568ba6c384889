// What a store's agent keeps in memory beyond the life of this process (docs/engine.md).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <bitsnap/result.h>
#include <bitsnap/store.h>

namespace bitsnap {

class AgentLink;

// The agent's memory as a Saver's rank sees it: the newest state of the rank, and bytes that the
// agent holds for others. Get it from Saver::agent_memory. Cheap to copy, safe to use from several
// threads. Once the Saver is closed, and in a child after fork(), every call fails with
// kInvalidArgument.
class AgentMemory {
 public:
  explicit AgentMemory(std::shared_ptr<AgentLink> link) : link_(std::move(link)) {}

  // The newest state that a Saver of this rank handed to the agent completely, durable or not.
  // Absent when there is none, when the agent died, or when its file or the store was removed or
  // replaced since. While the snapshot lives, its memory counts in SaverOptions::max_memory.
  Result<std::optional<Snapshot>> Newest() const;

  // Lets the agent hold a copy of `content` under `key`, which replaces what it held there. The
  // agent holds it until it is dropped, the last Saver of this rank closes, or the agent ends.
  Result<void> Hold(const std::string& key, std::span<const std::byte> content) const;
  // The keys of all that the agent holds, whatever rank asked for it; none when the agent died.
  Result<std::vector<std::string>> Held() const;
  // What the agent holds under `key`: the agent's own memory, which is not copied and stays while
  // the pointer lives. kNotFound when it holds nothing there.
  Result<std::shared_ptr<const std::span<const std::byte>>> Fetch(const std::string& key) const;
  // Lets go of what is held under these keys. A key under which nothing is held is no error.
  Result<void> Drop(const std::vector<std::string>& keys) const;

 private:
  std::shared_ptr<AgentLink> link_;
};

}  // namespace bitsnap
