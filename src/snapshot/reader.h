// Reads one .bsnap file. Everything the file says is checked before it is used: after Open, every
// offset lies in the file, every count fits its tensor, every index is in range.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "snapshot/index.h"

namespace bitsnap {

class ReadableFile;

// Safe to use from several threads.
class SnapshotReader {
 public:
  // Reads and checks header, index and footer, not the blocks. kTruncated, kCorrupt,
  // kUnsupportedVersion or kOutOfMemory, each naming the file. Takes memory in proportion to the
  // file (IndexMemoryLimit).
  static Result<SnapshotReader> Open(std::unique_ptr<ReadableFile> file);
  SnapshotReader(SnapshotReader&&) noexcept;
  SnapshotReader& operator=(SnapshotReader&&) noexcept;
  ~SnapshotReader();

  const SnapshotHeader& header() const { return header_; }
  const SnapshotIndex& index() const { return index_; }
  const Hash128& index_hash() const { return index_hash_; }
  uint64_t file_bytes() const;
  const std::filesystem::path& path() const;

  // Reads the payload of block `block` of tensor `tensor` into `out` and checks its checksum.
  // Requires: storage kBlocks, both in range, out.size() == coded_bytes of the block.
  Result<void> ReadBlock(size_t tensor, size_t block, MutableBytes out) const;

 private:
  SnapshotReader();
  static Result<SnapshotReader> OpenOrThrow(std::unique_ptr<ReadableFile> file);
  std::unique_ptr<ReadableFile> file_;
  SnapshotHeader header_;
  SnapshotIndex index_;
  Hash128 index_hash_;
  // Per tensor, offset of each block; derived from data_offset and coded_bytes.
  std::vector<std::vector<uint64_t>> block_offsets_;
};

}  // namespace bitsnap
