#include "engine/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "engine/populate.h"

namespace bitsnap {

uint64_t RoundUpToPages(uint64_t bytes) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

Result<Arena> Arena::Map(uint64_t bytes) {
  if (bytes == 0) return Arena();
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return Fail(ErrorKind::kOutOfMemory,
                fmt::format("no memory for a copy of {} bytes; lower max_memory, or save without "
                            "the background",
                            bytes));
  }
  madvise(memory, bytes, MADV_DONTFORK);  // advice only
  const MutableBytes pages(static_cast<std::byte*>(memory), bytes);
  Populate(pages);
  return Arena(pages);
}

Arena::Arena(Arena&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

Arena::~Arena() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

}  // namespace bitsnap
