#include "engine/agent/blobs.h"

#include <fcntl.h>

#include <fmt/format.h>

namespace bitsnap::agent {

void Blobs::Hold(const std::string& key, Fd content, uint32_t rank) {
  std::lock_guard lock(mutex_);
  blobs_.insert_or_assign(key, Blob{std::move(content), rank});
}

std::vector<std::string> Blobs::Keys() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, blob] : blobs_) keys.push_back(key);
  return keys;
}

Result<Fd> Blobs::Fetch(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto found = blobs_.find(key);
  if (found == blobs_.end()) {
    return Fail(ErrorKind::kNotFound, fmt::format("the agent holds nothing under \"{}\"", key));
  }
  Fd copy(fcntl(found->second.content.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return Fail(ErrorKind::kIo, "the agent has too many open files");
  return copy;
}

void Blobs::Drop(const std::string& key) {
  std::lock_guard lock(mutex_);
  blobs_.erase(key);
}

void Blobs::DropOf(uint32_t rank) {
  std::lock_guard lock(mutex_);
  std::erase_if(blobs_, [&](const auto& entry) { return entry.second.rank == rank; });
}

}  // namespace bitsnap::agent
