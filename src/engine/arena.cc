#include "engine/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/try.h"
#include "engine/available_memory.h"
#include "engine/memory_file.h"
#include "engine/populate.h"

namespace bitsnap {
namespace {

Result<MutableBytes> MapPages(uint64_t bytes, int protection, int flags, int fd) {
  void* memory = mmap(nullptr, bytes, protection, flags, fd, 0);
  if (memory == MAP_FAILED) {
    return Fail(ErrorKind::kOutOfMemory,
                fmt::format("no memory for a copy of {} bytes; lower max_memory, or save without "
                            "the background",
                            bytes));
  }
  madvise(memory, bytes, MADV_DONTFORK);  // advice only
  return MutableBytes(static_cast<std::byte*>(memory), bytes);
}

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

}  // namespace

uint64_t RoundUpToPages(uint64_t bytes) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  return bytes > kMost - page ? kMost : (bytes + page - 1) / page * page;
}

Result<Arena> Arena::Map(uint64_t bytes) {
  if (bytes == 0) return Arena();
  BITSNAP_TRY(CheckMemory(bytes));
  BITSNAP_ASSIGN(const MutableBytes pages,
                 MapPages(bytes, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  Populate(pages);
  return Arena(pages, Fd(), 0);
}

Result<Arena> Arena::MapShared(uint64_t bytes) {
  static std::atomic<uint64_t> last_id = 0;
  bytes = std::max(bytes, RoundUpToPages(1));
  BITSNAP_TRY(CheckMemory(bytes));
  BITSNAP_ASSIGN(Fd fd, CreateMemoryFile(bytes));
  BITSNAP_ASSIGN(const MutableBytes pages, MapPages(bytes, kReadWrite, MAP_SHARED, fd.get()));
  Arena arena(pages, std::move(fd), ++last_id);
  Populate(pages);  // in parallel, which Allocate is not
  BITSNAP_TRY(AllocateMemoryFile(arena.fd(), bytes));
  return arena;
}

Result<Arena> Arena::MapOf(Fd fd, uint64_t bytes, bool writable) {
  BITSNAP_ASSIGN(const uint64_t size, MemoryFileSize(fd.get()));
  if (bytes == 0 || bytes > size) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("shared memory of {} bytes where {} were told", size, bytes));
  }
  BITSNAP_ASSIGN(const MutableBytes pages,
                 MapPages(bytes, writable ? kReadWrite : PROT_READ, MAP_SHARED, fd.get()));
  if (writable) Populate(pages);
  return Arena(pages, Fd(), 0);
}

Arena::Arena(Arena&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), fd_(std::move(other.fd_)), id_(other.id_) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(fd_, other.fd_);
  std::swap(id_, other.id_);
  return *this;
}

Arena::~Arena() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

}  // namespace bitsnap
