// The memory that one state is copied into.
#pragma once

#include <cstdint>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "engine/fd.h"

namespace bitsnap {

// One mapping of whole pages, which are there already. A child of fork() does not get it: else each
// page written next would be copied.
class Arena {
 public:
  // Memory of this process alone. kOutOfMemory when the machine has less left.
  static Result<Arena> Map(uint64_t bytes);
  // Memory that other processes may map too, through fd(): a memfd sealed against any change of its
  // size, so that no access can fail later.
  static Result<Arena> MapShared(uint64_t bytes);
  // What another process made with MapShared: `bytes` of it, at least one, to read or also to
  // write. kInvalidArgument for a file of another kind or size.
  static Result<Arena> MapOf(Fd fd, uint64_t bytes, bool writable);
  Arena() = default;  // of no bytes
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();

  MutableBytes bytes() const { return bytes_; }
  int fd() const { return fd_.get(); }
  uint64_t id() const { return id_; }  // of one by MapShared: no other of this process has it

 private:
  Arena(MutableBytes bytes, Fd fd, uint64_t id) : bytes_(bytes), fd_(std::move(fd)), id_(id) {}
  MutableBytes bytes_;
  Fd fd_;
  uint64_t id_ = 0;
};

// Whole pages that hold `bytes`; of more than there can be, as much as can be asked for.
uint64_t RoundUpToPages(uint64_t bytes);

}  // namespace bitsnap
