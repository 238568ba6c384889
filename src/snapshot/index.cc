#include "snapshot/index.h"

namespace bitsnap {

std::optional<uint64_t> BlockedBytes(const TensorRecord& tensor) {
  const auto bytes = TensorBytes(tensor.info.dtype, tensor.info.shape);
  if (!bytes) return std::nullopt;
  if (tensor.storage != Storage::kBlocks) return 0;
  return tensor.second ? 2 * *bytes : *bytes;  // cannot overflow: the size in bits has not
}

uint64_t CodedBytes(const TensorRecord& tensor) {
  uint64_t bytes = 0;
  for (const BlockRecord& block : tensor.blocks) bytes += block.coded_bytes;
  return bytes;
}

}  // namespace bitsnap
