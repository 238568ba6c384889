// Snapshot's other half: what it reads from, and how the store makes one.
#pragma once

#include <string_view>
#include <unordered_map>

#include <bitsnap/store.h>

#include "store/step.h"

namespace bitsnap {

// Everything but the tensors' content, which whoever derives from it knows where to find.
struct Snapshot::Impl {
  virtual ~Impl() = default;
  virtual Result<void> Read(std::span<const ReadRequest> requests, unsigned threads,
                            const Progress& progress) const = 0;
  virtual Result<void> Verify(unsigned threads, const Progress& progress) const = 0;

  void Add(StoredTensor tensor);

  uint64_t step = 0;
  uint32_t rank = 0;
  uint32_t world_size = 1;
  uint64_t save_id = 0;
  std::optional<uint64_t> base_step;
  std::string profile;
  std::string metadata;
  Lineage lineage;
  std::vector<StoredTensor> tensors;
  std::unordered_map<std::string, size_t> by_name;
};

// Opens one rank file with its base for reading.
Result<Snapshot> OpenSnapshot(const StoreLocation& store, uint64_t step, const RankFileId& id);

}  // namespace bitsnap
