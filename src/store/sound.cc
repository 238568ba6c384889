#include "store/sound.h"

#include <mutex>
#include <set>
#include <tuple>

#include "base/try.h"

namespace bitsnap {
namespace {

// What tells apart a file from all others, and from itself when it was changed.
using FileKey = std::tuple<const FileSystem*, uint64_t, uint64_t, int64_t, uint64_t, uint64_t>;

class SoundFiles {
 public:
  bool Contains(const FileKey& key) {
    const std::lock_guard lock(mutex_);
    return keys_.contains(key);
  }

  void Add(const FileKey& key) {
    const std::lock_guard lock(mutex_);
    if (keys_.size() >= kMaxKeys) keys_.clear();
    keys_.insert(key);
  }

 private:
  static constexpr size_t kMaxKeys = 1 << 16;
  std::mutex mutex_;
  std::set<FileKey> keys_;  // guarded by mutex_
};

SoundFiles& Known() {
  static SoundFiles files;
  return files;
}

Result<FileKey> KeyOf(const StoreLocation& store, const std::filesystem::path& path,
                      const Hash128& hash) {
  BITSNAP_ASSIGN(const FileStatus status, store.file_system->Status(path));
  return FileKey{store.file_system, status.id,
                 status.bytes,      status.written.time_since_epoch().count(),
                 hash.low,          hash.high};
}

// A link to the file counts as the file.
Result<void> CheckFile(const StoreLocation& store, const SnapshotReader& file) {
  BITSNAP_ASSIGN(const FileKey key, KeyOf(store, file.path(), file.index_hash()));
  if (Known().Contains(key)) return {};
  BITSNAP_TRY(ReadBlocks(file));
  Known().Add(key);
  return {};
}

}  // namespace

Result<void> ReadBlocks(const SnapshotReader& file) {
  std::vector<std::byte> buffer;
  const auto& tensors = file.index().tensors;
  for (size_t tensor = 0; tensor < tensors.size(); ++tensor) {
    for (size_t block = 0; block < tensors[tensor].blocks.size(); ++block) {
      buffer.resize(tensors[tensor].blocks[block].coded_bytes);
      BITSNAP_TRY(file.ReadBlock(tensor, block, buffer));
    }
  }
  return {};
}

Result<void> CheckSound(const StoreLocation& store, uint64_t step, const RankFileId& id) {
  BITSNAP_ASSIGN(const RankFile files, OpenWithBase(store, step, id));
  BITSNAP_TRY(CheckFile(store, files.file));
  return files.base ? CheckFile(store, *files.base) : Result<void>();
}

void RememberSound(const StoreLocation& store, uint64_t step, const RankFileId& id,
                   const Hash128& index_hash) {
  const auto key = KeyOf(store, store.StepFolder(step) / RankFileName(id), index_hash);
  if (key) Known().Add(*key);
}

}  // namespace bitsnap
