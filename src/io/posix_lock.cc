#include "io/posix_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/try.h"
#include "io/system_error.h"

namespace bitsnap {
namespace {

constexpr std::chrono::seconds kMaxWait{60};
constexpr std::chrono::milliseconds kMaxPause{20};

// The errno of the failure, or 0.
int TryLock(int fd, int operation) {
  int failed;
  do {
    failed = flock(fd, operation | LOCK_NB);
  } while (failed != 0 && errno == EINTR);
  return failed != 0 ? errno : 0;
}

class PosixDirectoryLock final : public DirectoryLock {
 public:
  explicit PosixDirectoryLock(UniqueFd fd) : fd_(std::move(fd)) {}
  ~PosixDirectoryLock() override { Unlock(fd_); }

 private:
  UniqueFd fd_;
};

}  // namespace

void LockFile(const UniqueFd& fd) { (void)TryLock(fd.get(), LOCK_EX); }

// Closing is not enough: a process forked meanwhile has a copy of the descriptor.
void Unlock(const UniqueFd& fd) { (void)flock(fd.get(), LOCK_UN); }

Result<bool> IsFileLocked(const std::filesystem::path& path) {
  BITSNAP_ASSIGN(const RegularFile file, OpenRegularFile(path, Symlinks::kRefuse));
  if (TryLock(file.fd.get(), LOCK_SH) != 0) return true;
  Unlock(file.fd);
  return false;
}

Result<std::unique_ptr<DirectoryLock>> LockPosixDirectory(const std::filesystem::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.get() < 0) return SystemFail(errno, "lock", path);
  const auto start = std::chrono::steady_clock::now();
  std::chrono::milliseconds pause{1};
  while (TryLock(fd.get(), LOCK_EX) == EWOULDBLOCK) {
    if (std::chrono::steady_clock::now() - start > kMaxWait) {
      return Fail(ErrorKind::kBusy,
                  fmt::format("{}: another process has had it locked for {} s; end that process, "
                              "or try again",
                              path.string(), kMaxWait.count()));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kMaxPause);
  }
  return std::make_unique<PosixDirectoryLock>(std::move(fd));
}

}  // namespace bitsnap
