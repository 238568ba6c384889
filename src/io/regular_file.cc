#include "io/regular_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "io/system_error.h"

namespace bitsnap {

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

Result<RegularFile> OpenRegularFile(const std::filesystem::path& path, Symlinks symlinks) {
  const int no_follow = symlinks == Symlinks::kRefuse ? O_NOFOLLOW : 0;
  int raw_fd;
  do {
    raw_fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | no_follow);
  } while (raw_fd < 0 && errno == EINTR);
  UniqueFd fd(raw_fd);
  if (fd.get() < 0) return SystemFail(errno, "open", path);
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return SystemFail(errno, "open", path);
  if (!S_ISREG(status.st_mode)) {
    return Fail(ErrorKind::kIo, fmt::format("cannot open {}: not a regular file", path.string()));
  }
  return RegularFile{std::move(fd), static_cast<uint64_t>(status.st_size)};
}

}  // namespace bitsnap
