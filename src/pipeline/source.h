// A snapshot file together with the base it leans on, block by block.
#pragma once

#include <vector>

#include <bitsnap/result.h>

#include "codec/codec.h"
#include "snapshot/reader.h"

namespace bitsnap {

// One thread's working memory for coding blocks, kept from block to block.
struct Workspace {
  Scratch scratch;
  std::vector<std::byte> base = std::vector<std::byte>(kBlockBytes);
  std::vector<std::byte> coded = std::vector<std::byte>(kBlockBytes);
  std::vector<std::byte> raw = std::vector<std::byte>(kBlockBytes);
};

// Neither reader is owned; both are safe to share between threads.
struct SnapshotSource {
  const SnapshotReader* file = nullptr;
  const SnapshotReader* base = nullptr;  // null when the snapshot stands alone
};

// kCorrupt unless every tensor of the source can be decoded by this version: block sizes are
// kBlockBytes, and what leans on the base fits the base's tensors. DecodeBlock requires it.
Result<void> CheckSource(const SnapshotSource& source);

// Raw bytes of a tensor.
uint64_t RawBytes(const TensorRecord& tensor);

// The codecs of a tensor's blocks, most used first, e.g. "planes+raw", or where else it is.
std::string CodecNames(const TensorRecord& tensor);

// Decodes block `block` of tensor `tensor` into `out` and checks it end to end, wherever its bytes
// are. Uses workspace.coded and, unless the source stands alone, workspace.base: `out` may not be
// one that is used. Requires: out.size() is the block's raw size.
Result<void> DecodeBlock(const SnapshotSource& source, size_t tensor, size_t block,
                         MutableBytes out, Workspace& workspace);

}  // namespace bitsnap
