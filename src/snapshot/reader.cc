#include "snapshot/reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/try.h"
#include "io/file_system.h"
#include "snapshot/compress.h"
#include "snapshot/index_coding.h"
#include "snapshot/index_memory.h"
#include "snapshot/index_rules.h"
#include "snapshot/layout.h"

namespace bitsnap {
namespace {

// `result` with the file's name before the message of its error.
template <class T>
Result<T> Named(const ReadableFile& file, Result<T> result) {
  if (!result) {
    result.error().message = fmt::format("{}: {}", file.path().string(), result.error().message);
  }
  return result;
}

Result<std::vector<std::byte>> ReadBytes(const ReadableFile& file, uint64_t offset, size_t size) {
  std::vector<std::byte> bytes(size);
  BITSNAP_TRY(file.Read(offset, bytes));
  return bytes;
}

Result<void> CheckSize(uint64_t file_bytes) {
  if (file_bytes >= kHeaderBytes + kFooterBytes) return {};
  return Fail(ErrorKind::kTruncated,
              fmt::format("{} bytes are less than any snapshot has (interrupted write or copy?)",
                          file_bytes));
}

// Also checks that the index fits between header and footer.
Result<Footer> ParseFooterOf(uint64_t file_bytes, Bytes bytes) {
  BITSNAP_ASSIGN(const Footer footer, ParseFooter(bytes));
  if (footer.stored_bytes > std::min(file_bytes - kHeaderBytes - kFooterBytes, kMaxIndexBytes)) {
    return Fail(ErrorKind::kCorrupt, "the index claims to be larger than it can be");
  }
  return footer;
}

// Puts the uncompressed index behind the header's bytes, where its hash includes them.
Result<void> AppendIndex(const Footer& footer, Bytes stored, std::vector<std::byte>* header) {
  if (Checksum64(stored) != footer.stored_checksum) {
    return Fail(ErrorKind::kCorrupt, "the index does not match its checksum");
  }
  BITSNAP_TRY(UnstoreIndex(footer.coding, stored, footer.raw_bytes, header));
  if (Checksum128(*header) != footer.index_hash) {
    return Fail(ErrorKind::kCorrupt, "the index does not match its hash");
  }
  return {};
}

Result<SnapshotIndex> ParseChecked(Bytes raw_index, const Footer& footer, uint64_t payload_end) {
  BITSNAP_ASSIGN(SnapshotIndex index, ParseIndex(raw_index, IndexMemoryLimit(footer.stored_bytes)));
  if (const auto fault = FindFault(index, payload_end)) return Fail(ErrorKind::kCorrupt, *fault);
  return index;
}

std::vector<uint64_t> BlockOffsets(const TensorRecord& tensor) {
  std::vector<uint64_t> offsets;
  offsets.reserve(tensor.blocks.size());
  uint64_t offset = tensor.data_offset;
  for (const BlockRecord& block : tensor.blocks) {
    offsets.push_back(offset);
    offset += block.coded_bytes;
  }
  return offsets;
}

}  // namespace

SnapshotReader::SnapshotReader() = default;
SnapshotReader::SnapshotReader(SnapshotReader&&) noexcept = default;
SnapshotReader& SnapshotReader::operator=(SnapshotReader&&) noexcept = default;
SnapshotReader::~SnapshotReader() = default;

uint64_t SnapshotReader::file_bytes() const { return file_->size(); }
const std::filesystem::path& SnapshotReader::path() const { return file_->path(); }

Result<SnapshotReader> SnapshotReader::Open(std::unique_ptr<ReadableFile> opened) {
  const std::filesystem::path path = opened->path();
  try {
    return OpenOrThrow(std::move(opened));
  } catch (const std::bad_alloc&) {
    return Fail(ErrorKind::kOutOfMemory,
                fmt::format("{}: there is too little memory for its index", path.string()));
  }
}

Result<SnapshotReader> SnapshotReader::OpenOrThrow(std::unique_ptr<ReadableFile> opened) {
  SnapshotReader reader;
  reader.file_ = std::move(opened);
  const ReadableFile& file = *reader.file_;
  BITSNAP_TRY(Named(file, CheckSize(file.size())));
  BITSNAP_ASSIGN(std::vector<std::byte> hashed, ReadBytes(file, 0, kHeaderBytes));
  BITSNAP_ASSIGN(reader.header_, Named(file, ParseHeader(hashed)));
  const uint64_t index_end = file.size() - kFooterBytes;
  BITSNAP_ASSIGN(const auto footer_bytes, ReadBytes(file, index_end, kFooterBytes));
  BITSNAP_ASSIGN(const Footer footer, Named(file, ParseFooterOf(file.size(), footer_bytes)));
  const uint64_t index_begin = index_end - footer.stored_bytes;
  BITSNAP_ASSIGN(const auto stored, ReadBytes(file, index_begin, footer.stored_bytes));
  BITSNAP_TRY(Named(file, AppendIndex(footer, stored, &hashed)));
  reader.index_hash_ = footer.index_hash;
  BITSNAP_ASSIGN(reader.index_, Named(file, ParseChecked(Bytes(hashed).subspan(kHeaderBytes),
                                                         footer, index_begin)));
  for (const TensorRecord& tensor : reader.index_.tensors) {
    reader.block_offsets_.push_back(BlockOffsets(tensor));
  }
  return reader;
}

Result<void> SnapshotReader::ReadBlock(size_t tensor, size_t block, MutableBytes out) const {
  BITSNAP_TRY(file_->Read(block_offsets_[tensor][block], out));
  const TensorRecord& record = index_.tensors[tensor];
  if (Checksum64(out) != record.blocks[block].coded_checksum) {
    return Fail(ErrorKind::kCorrupt,
                fmt::format("{}: block {} of tensor '{}' does not match its checksum",
                            path().string(), block, record.info.name));
  }
  return {};
}

}  // namespace bitsnap
