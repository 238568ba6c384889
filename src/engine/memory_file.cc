#include "engine/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "base/try.h"
#include "engine/available_memory.h"

namespace bitsnap {
namespace {

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

tl::unexpected<Error> SystemFailure(const char* what) {
  const int code = errno;
  const bool no_memory = code == ENOMEM || code == ENOSPC;
  return Fail(no_memory ? ErrorKind::kOutOfMemory : ErrorKind::kIo,
              fmt::format("cannot {} shared memory: {}; save without the agent "
                          "(engine=\"thread\")",
                          what, std::generic_category().message(code)));
}

Result<Fd> CreateEmpty() {
  int fd = memfd_create("bitsnap", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  // Kernels before 6.3 do not know the last flag.
  if (fd < 0 && errno == EINVAL) fd = memfd_create("bitsnap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return SystemFailure("create");
  return Fd(fd);
}

Result<void> WriteAll(int fd, Bytes content) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return SystemFailure("fill");
    content = content.subspan(static_cast<size_t>(written));
  }
  return {};
}

Result<uint64_t> SizeOfSealed(int fd, int seals) {
  const int present = fcntl(fd, F_GET_SEALS);
  struct stat status;
  if (present < 0 || (present & seals) != seals || fstat(fd, &status) != 0) {
    return Fail(ErrorKind::kInvalidArgument, "a file that is no sealed shared memory was passed");
  }
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

Result<Fd> CreateMemoryFile(uint64_t bytes) {
  BITSNAP_ASSIGN(Fd fd, CreateEmpty());
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return SystemFailure("size");
  if (fcntl(fd.get(), F_ADD_SEALS, kSizeSeals) != 0) return SystemFailure("seal");
  return fd;
}

Result<void> AllocateMemoryFile(int fd, uint64_t bytes) {
  int failed;
  do {
    failed = fallocate(fd, 0, 0, static_cast<off_t>(bytes));
  } while (failed != 0 && errno == EINTR);
  if (failed != 0) return SystemFailure("allocate");
  return {};
}

Result<Fd> CreateMemoryFileOf(Bytes content) {
  BITSNAP_TRY(CheckMemory(content.size()));
  BITSNAP_ASSIGN(Fd fd, CreateEmpty());
  BITSNAP_TRY(WriteAll(fd.get(), content));
  if (fcntl(fd.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_WRITE) != 0) return SystemFailure("seal");
  return fd;
}

Result<uint64_t> MemoryFileSize(int fd) { return SizeOfSealed(fd, kSizeSeals); }

Result<uint64_t> ConstantMemoryFileSize(int fd) {
  return SizeOfSealed(fd, kSizeSeals | F_SEAL_WRITE);
}

}  // namespace bitsnap
