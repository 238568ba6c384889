#include "snapshot/writer.h"

#include <fmt/format.h>

#include "base/try.h"
#include "io/file_system.h"
#include "snapshot/compress.h"
#include "snapshot/index_coding.h"
#include "snapshot/index_memory.h"
#include "snapshot/index_rules.h"
#include "snapshot/layout.h"

namespace bitsnap {

Result<SnapshotWriter> SnapshotWriter::Start(WritableFile* file, const SnapshotHeader& header) {
  if (header.rank >= header.world_size) {
    return Fail(ErrorKind::kInvalidArgument, fmt::format("rank {} is outside a world of {} ranks",
                                                         header.rank, header.world_size));
  }
  SnapshotWriter writer(file, EncodeHeader(header));
  BITSNAP_TRY(writer.Append(writer.header_));
  return writer;
}

Result<void> SnapshotWriter::Append(Bytes payloads) {
  BITSNAP_TRY(file_->Append(payloads));
  offset_ += payloads.size();
  return {};
}

Result<Hash128> SnapshotWriter::Finish(const SnapshotIndex& index) {
  if (const auto fault = FindFault(index, offset_)) {
    return Fail(ErrorKind::kInvalidArgument, "the snapshot cannot be finished: " + *fault);
  }
  std::vector<std::byte> hashed = header_;
  EncodeIndex(index, &hashed);
  const Bytes raw = Bytes(hashed).subspan(kHeaderBytes);
  if (raw.size() > kMaxIndexBytes) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("the index would have {} bytes, more than {}: keep less metadata or "
                            "split the tensors over several ranks",
                            raw.size(), kMaxIndexBytes));
  }
  const StoredIndex stored = StoreIndex(raw, MemoryOf(index, raw.size()).Bytes());
  Footer footer;
  footer.stored_bytes = stored.bytes.size();
  footer.raw_bytes = raw.size();
  footer.stored_checksum = Checksum64(stored.bytes);
  footer.index_hash = Checksum128(hashed);
  footer.coding = stored.coding;
  BITSNAP_TRY(Append(stored.bytes));
  BITSNAP_TRY(Append(EncodeFooter(footer)));
  return footer.index_hash;
}

}  // namespace bitsnap
