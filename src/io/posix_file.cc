#include "io/posix_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/try.h"
#include "io/posix_lock.h"
#include "io/read_range.h"
#include "io/system_error.h"

namespace bitsnap {
namespace {

// Linux moves at most 0x7ffff000 bytes a call.
constexpr size_t kMaxTransfer = size_t{1} << 30;

bool SetDirect(int fd, bool direct) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

// A RAM disk is the page cache: newer kernels take O_DIRECT there, and copy all the same.
bool IsInMemory(int fd) {
  struct statfs status;
  return fstatfs(fd, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

}  // namespace

PosixWritableFile::PosixWritableFile(UniqueFd fd, std::filesystem::path path)
    : fd_(std::move(fd)),
      path_(std::move(path)),
      direct_(!IsInMemory(fd_.get()) && SetDirect(fd_.get(), true)) {}

Result<std::unique_ptr<WritableFile>> PosixWritableFile::Create(const std::filesystem::path& path) {
  for (;;) {
    const int raw_fd =
        open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (raw_fd < 0 && errno == EINTR) continue;
    if (raw_fd < 0) return SystemFail(errno, "create", path);
    UniqueFd fd(raw_fd);
    LockFile(fd);
    // Before it was locked, somebody may have taken it for left behind and removed it.
    struct stat status;
    if (fstat(fd.get(), &status) != 0) return SystemFail(errno, "create", path);
    if (status.st_nlink == 0) continue;
    return std::unique_ptr<WritableFile>(new PosixWritableFile(std::move(fd), path));
  }
}

Result<void> PosixWritableFile::Append(Bytes bytes) {
  while (direct_ && !bytes.empty()) {
    bytes = buffer_.Fill(bytes);
    if (!buffer_.full()) continue;
    BITSNAP_TRY(Write(buffer_.content()));
    buffer_.Clear();
  }
  return Write(bytes);
}

Result<void> PosixWritableFile::EndDirect() {
  if (!direct_) return {};
  direct_ = false;
  if (!SetDirect(fd_.get(), false)) return SystemFail(errno, "write", path_);
  BITSNAP_TRY(Write(buffer_.content()));
  buffer_ = {};
  return {};
}

Result<void> PosixWritableFile::Write(Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_.get(), bytes.data(), std::min(bytes.size(), kMaxTransfer));
    if (written < 0 && errno == EINTR) continue;
    // Stricter about sizes or addresses than we are, or after a short write: the page cache is not.
    if (written < 0 && direct_ && IsUnsupported(errno)) {
      if (!SetDirect(fd_.get(), false)) return SystemFail(errno, "write", path_);
      direct_ = false;
      continue;
    }
    // A write of nothing would otherwise be tried for ever.
    if (written <= 0) return SystemFail(written < 0 ? errno : EIO, "write", path_);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Result<void> PosixWritableFile::Sync() {
  BITSNAP_TRY(EndDirect());
  // Never tried again after a failure: the kernel may have dropped the pages it could not write.
  int failed;
  do {
    failed = fsync(fd_.get());
  } while (failed != 0 && errno == EINTR);
  if (failed != 0) return SystemFail(errno, "sync", path_);
  return {};
}

Result<void> PosixWritableFile::Close() {
  BITSNAP_TRY(EndDirect());
  Unlock(fd_);
  // Linux frees the descriptor whatever close returns, so EINTR is no failure.
  if (close(fd_.Release()) != 0 && errno != EINTR) return SystemFail(errno, "close", path_);
  return {};
}

Result<std::unique_ptr<ReadableFile>> PosixReadableFile::Open(const std::filesystem::path& path) {
  BITSNAP_ASSIGN(RegularFile file, OpenRegularFile(path, Symlinks::kRefuse));
  return std::unique_ptr<ReadableFile>(new PosixReadableFile(std::move(file), path));
}

Result<void> PosixReadableFile::Read(uint64_t offset, MutableBytes out) const {
  if (!RangeInFile(offset, out.size(), file_.size)) {
    return ReadPastEnd(path_, offset, out.size(), file_.size);
  }
  for (size_t done = 0; done < out.size();) {
    const ssize_t got =
        pread(file_.fd.get(), out.data() + done, std::min(out.size() - done, kMaxTransfer),
              static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemFail(errno, "read", path_);
    if (got == 0) return ReadPastEnd(path_, offset, out.size(), offset + done);
    done += static_cast<size_t>(got);
  }
  return {};
}

}  // namespace bitsnap
