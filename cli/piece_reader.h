// Decodes tensors one after the other through one bounded buffer.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include <bitsnap/bitsnap.h>

#include "cli/progress.h"

namespace bitsnap::cli {

// One thread at a time. Snapshot and bar must outlive it.
class PieceReader {
 public:
  // Takes the tensors' bytes in order, in pieces of any size.
  using Sink = std::function<Result<void>(std::span<const std::byte>)>;

  // `total`: bytes of all tensors that Add will be called with.
  PieceReader(const Snapshot& snapshot, unsigned threads, uint64_t total, ProgressBar& bar,
              Sink sink);

  // Passes on what was added before whenever the buffer is full.
  Result<void> Add(size_t tensor);
  // Passes on the rest.
  Result<void> Flush();

 private:
  const Snapshot& snapshot_;
  const unsigned threads_;
  const uint64_t total_;
  ProgressBar& bar_;
  const Sink sink_;
  std::vector<std::byte> buffer_;
  std::vector<ReadRequest> requests_;  // together the buffer's first used_ bytes
  size_t used_ = 0;
  uint64_t passed_on_ = 0;
};

}  // namespace bitsnap::cli
