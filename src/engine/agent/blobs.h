// What ranks ask the agent to hold for others: bytes under a key, opaque to it.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <bitsnap/result.h>

#include "engine/fd.h"

namespace bitsnap::agent {

// Safe to use from several threads.
class Blobs {
 public:
  // `content` is a constant memory file. Replaces what was held under `key`.
  void Hold(const std::string& key, Fd content, uint32_t rank);
  std::vector<std::string> Keys() const;
  Result<Fd> Fetch(const std::string& key) const;
  void Drop(const std::string& key);
  // All that `rank` asked to hold.
  void DropOf(uint32_t rank);

 private:
  struct Blob {
    Fd content;
    uint32_t rank = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Blob> blobs_;  // guarded by mutex_
};

}  // namespace bitsnap::agent
