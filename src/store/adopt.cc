// Copies of rank files that come from elsewhere: checked to the last block, then committed as a
// save would.
#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include <bitsnap/store.h>

#include "base/try.h"
#include "io/read_range.h"
#include "store/commit.h"
#include "store/sound.h"
#include "store/stored_file.h"

namespace bitsnap {
namespace {

// Bytes in memory that must outlive it.
class BytesFile final : public ReadableFile {
 public:
  explicit BytesFile(Bytes content) : content_(content) {}
  uint64_t size() const override { return content_.size(); }
  const std::filesystem::path& path() const override { return path_; }

  Result<void> Read(uint64_t offset, MutableBytes out) const override {
    if (!RangeInFile(offset, out.size(), size())) {
      return ReadPastEnd(path_, offset, out.size(), size());
    }
    std::ranges::copy(content_.subspan(offset, out.size()), out.begin());
    return {};
  }

 private:
  Bytes content_;
  std::filesystem::path path_ = "a copy of a rank file";
};

// Opens it and reads every block, which checks their checksums.
Result<SnapshotReader> OpenChecked(Bytes content) {
  BITSNAP_ASSIGN(SnapshotReader file, SnapshotReader::Open(std::make_unique<BytesFile>(content)));
  BITSNAP_TRY(ReadBlocks(file));
  return file;
}

Result<void> CheckBase(const SnapshotReader& file, Bytes content) {
  const BaseReference& reference = *file.index().base;
  if (content.empty()) {
    return Fail(ErrorKind::kMissingBase,
                fmt::format("the copy of step {} leans on step {}, of which no copy was given",
                            file.header().step, reference.step));
  }
  BITSNAP_ASSIGN(const SnapshotReader base, OpenChecked(content));
  if (base.index_hash() == reference.index_hash) return {};
  return Fail(ErrorKind::kMissingBase,
              fmt::format("the copy of step {} leans on another file of step {} than was given",
                          file.header().step, reference.step));
}

}  // namespace

Result<StoredFile> CheckRankFile(std::span<const std::byte> content) {
  BITSNAP_ASSIGN(const SnapshotReader file, OpenChecked(content));
  StoredFile stored = Describe(file);
  stored.path.clear();
  return stored;
}

Result<StoredFile> Store::Adopt(std::span<const std::byte> content,
                                std::span<const std::byte> base_content) {
  const StoreLocation store{directory_, file_system_};
  BITSNAP_ASSIGN(const SnapshotReader file, OpenChecked(content));
  const auto& base = file.index().base;
  if (base) BITSNAP_TRY(CheckBase(file, base_content));

  const SnapshotHeader& header = file.header();
  const RankFileId id{header.rank, header.world_size};
  SaveOptions options;
  options.step = header.step;
  options.rank = header.rank;
  options.world_size = header.world_size;
  options.save_id = header.save_id;
  options.overwrite = true;
  BITSNAP_ASSIGN(PendingFile pending, PendingFile::Create(store, options));
  if (base && !pending.LinkBase(*base, store.StepFolder(base->step) / RankFileName(id))) {
    BITSNAP_TRY(pending.PutBase(*base, base_content));
  }
  BITSNAP_TRY(pending.file()->Append(content));
  BITSNAP_TRY(pending.Commit());
  StoredFile stored = Describe(file);
  stored.path = store.StepFolder(header.step) / RankFileName(id);
  return stored;
}

}  // namespace bitsnap
