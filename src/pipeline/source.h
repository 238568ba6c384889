// A snapshot file together with the base it leans on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "snapshot/reader.h"

namespace bitsnap {

// Neither reader is owned; both are safe to share between threads.
struct SnapshotSource {
  const SnapshotReader* file = nullptr;
  const SnapshotReader* base = nullptr;  // null when the snapshot stands alone
  // By number, tensors of `file` that are in memory already, whole and checked; the others are
  // empty. Null: none is.
  const std::vector<Bytes>* known = nullptr;
};

// kCorrupt unless every tensor of the source can be decoded by this version: block sizes are
// kBlockBytes, and what leans on the base fits the base's tensors. All that decode require it.
Result<void> CheckSource(const SnapshotSource& source);

// Raw bytes of a tensor.
uint64_t RawBytes(const TensorRecord& tensor);

// The codecs of a tensor's blocks, most used first, e.g. "planes+raw", or where else it is.
std::string CodecNames(const SnapshotReader& file, const TensorRecord& tensor);

// kCorrupt, naming file and tensor.
tl::unexpected<Error> CorruptTensor(const SnapshotReader& file, const TensorRecord& tensor,
                                    std::string_view what);

}  // namespace bitsnap
