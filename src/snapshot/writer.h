// Writes one .bsnap file front to back, without seeking.
#pragma once

#include <vector>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "snapshot/index.h"

namespace bitsnap {

class WritableFile;

// One thread at a time.
class SnapshotWriter {
 public:
  // `file` must be empty and outlive the writer; the caller syncs and closes it.
  static Result<SnapshotWriter> Start(WritableFile* file, const SnapshotHeader& header);

  // Where the next Append will put its bytes: the data_offset of a tensor about to be written.
  uint64_t offset() const { return offset_; }

  // Adds the payloads of one or more blocks.
  Result<void> Append(Bytes payloads);

  // Writes index and footer; nothing may be appended after. Returns the index's hash, by which a
  // delta names this file as its base. kInvalidArgument when the index breaks a rule of the format.
  Result<Hash128> Finish(const SnapshotIndex& index);

 private:
  SnapshotWriter(WritableFile* file, std::vector<std::byte> header)
      : file_(file), header_(std::move(header)) {}
  WritableFile* file_;             // not owned
  std::vector<std::byte> header_;  // as written; the index's hash covers it
  uint64_t offset_ = 0;
};

}  // namespace bitsnap
