#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "io/file_system.h"
#include "io/posix_file.h"
#include "io/posix_lock.h"
#include "io/system_error.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

std::chrono::system_clock::time_point ToTime(const timespec& time) {
  return std::chrono::system_clock::time_point(std::chrono::seconds(time.tv_sec) +
                                               std::chrono::nanoseconds(time.tv_nsec));
}

Result<void> Check(int failed, std::string_view operation, const fs::path& path) {
  if (failed != 0) return SystemFail(errno, operation, path);
  return {};
}

// For calls with two paths.
tl::unexpected<Error> PairFail(int code, std::string_view operation, const fs::path& from,
                               const fs::path& to) {
  return SystemFail(code, fmt::format("{} {} to", operation, from.string()), to);
}

FileType TypeOf(mode_t mode) {
  if (S_ISREG(mode)) return FileType::kFile;
  return S_ISDIR(mode) ? FileType::kDirectory : FileType::kOther;
}

// For file systems without links either. What makes `to` is exclusive; a crash before the rename
// leaves an empty file there, which the store takes for nothing (docs/store.md).
Result<void> RenameByClaim(const fs::path& from, const fs::path& to) {
  const UniqueFd claim(
      open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (claim.get() < 0) return PairFail(errno, "rename", from, to);
  if (rename(from.c_str(), to.c_str()) == 0) return {};
  auto failure = PairFail(errno, "rename", from, to);
  unlink(to.c_str());
  return failure;
}

// For file systems that cannot rename without replacing. `to` appears atomically, whole or not at
// all; a crash in between leaves both names.
Result<void> RenameByLink(const fs::path& from, const fs::path& to) {
  if (link(from.c_str(), to.c_str()) != 0) {
    if (IsLinkUnsupported(errno)) return RenameByClaim(from, to);
    return PairFail(errno, "rename", from, to);
  }
  if (unlink(from.c_str()) == 0) return {};
  auto failure = PairFail(errno, "rename", from, to);
  unlink(to.c_str());
  return failure;
}

class Posix final : public FileSystem {
 public:
  Result<std::unique_ptr<WritableFile>> Create(const fs::path& path) override {
    return PosixWritableFile::Create(path);
  }

  Result<std::unique_ptr<ReadableFile>> Open(const fs::path& path) override {
    return PosixReadableFile::Open(path);
  }

  Result<FileType> Type(const fs::path& path) override {
    struct stat status;
    if (lstat(path.c_str(), &status) == 0) return TypeOf(status.st_mode);
    if (errno == ENOENT || errno == ENOTDIR) return FileType::kNone;
    return SystemFail(errno, "look at", path);
  }

  Result<FileStatus> Status(const fs::path& path) override {
    struct stat status;
    if (lstat(path.c_str(), &status) != 0) return SystemFail(errno, "look at", path);
    return FileStatus{TypeOf(status.st_mode), static_cast<uint64_t>(status.st_size),
                      status.st_ino,          status.st_nlink,
                      ToTime(status.st_ctim), ToTime(status.st_mtim)};
  }

  Result<std::vector<std::string>> List(const fs::path& path) override {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd.get() < 0) return SystemFail(errno, "list", path);
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(fdopendir(fd.get()), closedir);
    if (!directory) return SystemFail(errno, "list", path);
    fd.Release();
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(directory.get())) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
      errno = 0;
    }
    if (errno != 0) return SystemFail(errno, "list", path);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<void> CreateDirectory(const fs::path& path) override {
    return Check(mkdir(path.c_str(), 0777), "create directory", path);
  }

  Result<void> Rename(const fs::path& from, const fs::path& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) return PairFail(errno, "rename", from, to);
    return {};
  }

  Result<void> RenameNoReplace(const fs::path& from, const fs::path& to) override {
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (IsUnsupported(errno)) return RenameByLink(from, to);
    return PairFail(errno, "rename", from, to);
  }

  Result<void> Link(const fs::path& from, const fs::path& to) override {
    if (link(from.c_str(), to.c_str()) != 0) return PairFail(errno, "link", from, to);
    return {};
  }

  Result<void> Remove(const fs::path& path) override {
    return Check(std::remove(path.c_str()), "remove", path);
  }

  Result<std::unique_ptr<DirectoryLock>> LockDirectory(const fs::path& path) override {
    return LockPosixDirectory(path);
  }

  Result<bool> IsBeingWritten(const fs::path& path) override { return IsFileLocked(path); }

  Result<void> SyncDirectory(const fs::path& path) override {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return SystemFail(errno, "sync directory", path);
    int failed;
    do {
      failed = fsync(fd.get());
    } while (failed != 0 && errno == EINTR);
    // Some network file systems cannot sync a directory; they write directory changes through.
    if (failed != 0 && !IsUnsupported(errno)) return SystemFail(errno, "sync directory", path);
    return {};
  }
};

}  // namespace

FileSystem& PosixFileSystem() {
  static Posix* const instance = new Posix;
  return *instance;
}

}  // namespace bitsnap
