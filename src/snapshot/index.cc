#include "snapshot/index.h"

#include "base/checked.h"

namespace bitsnap {

uint64_t BlockCount(uint64_t bytes, uint32_t block_bytes) { return CeilDiv(bytes, block_bytes); }

}  // namespace bitsnap
