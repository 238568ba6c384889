#include "snapshot/index_memory.h"

namespace bitsnap {
namespace {

// A tensor's record, its list of block offsets in the reader, its place in the check of names.
constexpr uint64_t kTensorBytes = sizeof(TensorRecord) + sizeof(std::vector<uint64_t>) + 8;
constexpr uint64_t kBlockBytes = sizeof(BlockRecord) + sizeof(uint64_t);

// What index_coding.cc needs for each of them at least.
constexpr uint64_t kLeastRecord = 34, kLeastMetric = 10, kBlockRow = 21;
static_assert(kTensorBytes < 15 * kLeastRecord);
static_assert(sizeof(Metric) < 15 * kLeastMetric);
static_assert(kBlockBytes < 15 * kBlockRow);

}  // namespace

uint64_t IndexMemory::Bytes() const {
  return raw_bytes + tensors * kTensorBytes + metrics * sizeof(Metric) + blocks * kBlockBytes;
}

IndexMemory MemoryOf(const SnapshotIndex& index, uint64_t raw_bytes) {
  IndexMemory memory{.raw_bytes = raw_bytes, .tensors = index.tensors.size()};
  for (const TensorRecord& tensor : index.tensors) {
    memory.metrics += tensor.error.size();
    memory.blocks += tensor.blocks.size();
  }
  return memory;
}

}  // namespace bitsnap
