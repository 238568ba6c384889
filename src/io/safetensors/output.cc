#include "io/safetensors/output.h"

#include <bitsnap/safetensors.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>

#include "base/try.h"
#include "io/file_system.h"
#include "io/regular_file.h"
#include "io/system_error.h"

namespace bitsnap {
namespace {

namespace fs = std::filesystem;

// Who writes into a named pipe is often a moment earlier than who reads from it.
constexpr auto kPatience = std::chrono::seconds(2);
constexpr auto kPause = std::chrono::milliseconds(10);
constexpr int kMaxLinks = 40;  // as many as Linux follows

tl::unexpected<Error> CannotWrite(const fs::path& path, std::string_view why) {
  return Fail(ErrorKind::kInvalidArgument, fmt::format("cannot write {}: {}", path.string(), why));
}

// Of what links lead to; nullopt when there is nothing.
Result<std::optional<struct stat>> StatusOf(const fs::path& path) {
  struct stat status;
  if (stat(path.c_str(), &status) == 0) return status;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  return SystemFail(errno, "look at", path);
}

fs::path ParentOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

Result<void> WriteAll(int fd, Bytes bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemFail(errno, "write", path);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

// A pipe or a character device.
class Stream final : public Output {
 public:
  static Result<std::unique_ptr<Output>> Open(const fs::path& path) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    int fd;
    while ((fd = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)) < 0) {
      if (errno == ENXIO && std::chrono::steady_clock::now() > deadline) {
        return Fail(ErrorKind::kIo,
                    fmt::format("cannot write {}: nobody reads from this pipe; start the reader "
                                "first",
                                path.string()));
      }
      if (errno != ENXIO && errno != EINTR) return SystemFail(errno, "write", path);
      std::this_thread::sleep_for(kPause);
    }
    UniqueFd opened(fd);
    struct stat status;
    if (fstat(fd, &status) != 0) return SystemFail(errno, "look at", path);
    if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) {
      return CannotWrite(path, "it was replaced just now");
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return std::unique_ptr<Output>(new Stream(std::move(opened), path));
  }

  Result<void> Append(Bytes bytes) override { return WriteAll(fd_.get(), bytes, path_); }

  Result<void> Commit() override {
    if (close(fd_.Release()) != 0) return SystemFail(errno, "write", path_);
    return {};
  }

 private:
  Stream(UniqueFd fd, fs::path path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  fs::path path_;
};

// Hidden, on the same file system, and free: an earlier process of this id may have died and left
// its own.
fs::path NextTemporary(const fs::path& target) {
  static std::atomic<uint64_t> next = 0;
  return target.parent_path() /
         fmt::format(".{}.tmp-{}-{}", target.filename().string(), getpid(), next.fetch_add(1));
}

// A file under a temporary name beside its own, until Commit renames it.
class NamedFile final : public Output {
 public:
  static Result<std::unique_ptr<Output>> Create(const fs::path& path, bool replace) {
    while (true) {
      fs::path temporary = NextTemporary(path);
      auto file = PosixFileSystem().Create(temporary);
      if (file) {
        return std::unique_ptr<Output>(
            new NamedFile(path, std::move(temporary), *std::move(file), replace));
      }
      if (file.error().kind != ErrorKind::kAlreadyExists) {
        return tl::make_unexpected(std::move(file).error());
      }
    }
  }

  ~NamedFile() override {
    if (!committed_) (void)PosixFileSystem().Remove(temporary_);
  }

  // Before anything is written, so that nobody reads who may not.
  Result<void> TakeAfter(const struct stat& old) {
    struct stat ours;
    if (lstat(temporary_.c_str(), &ours) != 0) return SystemFail(errno, "look at", temporary_);
    const bool same_owner = ours.st_uid == old.st_uid && ours.st_gid == old.st_gid;
    if (!same_owner && chown(temporary_.c_str(), old.st_uid, old.st_gid) != 0) {
      return CannotWrite(path_,
                         "it belongs to another user or group, and a file in its place would not; "
                         "remove it, or write elsewhere");
    }
    if (chmod(temporary_.c_str(), old.st_mode & 07777) != 0) {
      return SystemFail(errno, "set the mode of", temporary_);
    }
    return {};
  }

  Result<void> Append(Bytes bytes) override { return file_->Append(bytes); }

  Result<void> Commit() override {
    FileSystem& files = PosixFileSystem();
    BITSNAP_TRY(file_->Sync());
    BITSNAP_TRY(file_->Close());
    if (replace_) {
      BITSNAP_ASSIGN(const FileType type, files.Type(path_));
      if (type == FileType::kOther || type == FileType::kDirectory) {
        return CannotWrite(path_, "something else than a file has taken its place meanwhile");
      }
      BITSNAP_TRY(files.Rename(temporary_, path_));
    } else {
      BITSNAP_TRY(files.RenameNoReplace(temporary_, path_));
    }
    committed_ = true;
    return files.SyncDirectory(ParentOf(path_));
  }

 private:
  NamedFile(fs::path path, fs::path temporary, std::unique_ptr<WritableFile> file, bool replace)
      : path_(std::move(path)),
        temporary_(std::move(temporary)),
        file_(std::move(file)),
        replace_(replace) {}

  fs::path path_, temporary_;
  std::unique_ptr<WritableFile> file_;
  bool replace_;
  bool committed_ = false;
};

}  // namespace

Result<fs::path> ResolveOutput(const fs::path& path) {
  BITSNAP_ASSIGN(const auto status, StatusOf(path));
  std::error_code failed;
  if (status) {
    // What lies behind /dev/stdout need not have a name.
    if (!S_ISREG(status->st_mode)) return path;
    const fs::path followed = fs::canonical(path, failed);
    if (failed) return SystemFail(failed.value(), "find", path);
    return followed;
  }
  fs::path target = path;
  for (int links = 0; links < kMaxLinks && fs::is_symlink(target, failed); ++links) {
    const fs::path next = fs::read_symlink(target, failed);
    if (failed) return SystemFail(failed.value(), "read", target);
    target = ParentOf(target) / next;  // which an absolute one replaces
  }
  return target;
}

Result<std::unique_ptr<Output>> Output::Open(const fs::path& path, bool replace, uint64_t bytes) {
  BITSNAP_ASSIGN(const fs::path target, ResolveOutput(path));
  BITSNAP_ASSIGN(const auto status, StatusOf(target));
  if (!path.has_filename() || (status && S_ISDIR(status->st_mode))) {
    return CannotWrite(path, "a directory, not a file name");
  }
  if (status && (S_ISBLK(status->st_mode) || S_ISSOCK(status->st_mode))) {
    return CannotWrite(path, "neither a file nor a pipe; give the name of a file");
  }
  if (status && !S_ISREG(status->st_mode)) return Stream::Open(target);
  if (status && !replace) {
    return Fail(ErrorKind::kAlreadyExists, fmt::format("{} exists already", path.string()));
  }
  std::error_code unknown;
  const fs::space_info space = fs::space(ParentOf(target), unknown);
  if (!unknown && space.available < bytes) {
    return Fail(ErrorKind::kOutOfSpace,
                fmt::format("{} needs {} bytes, and the disk has {} left: make room or write "
                            "elsewhere",
                            path.string(), bytes, space.available));
  }
  auto file = NamedFile::Create(target, replace);
  if (file && status) BITSNAP_TRY(static_cast<NamedFile&>(**file).TakeAfter(*status));
  return file;
}

}  // namespace bitsnap
