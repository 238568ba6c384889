// Files that are memory and nothing else (memfd), to be shared between processes. They are in no
// directory and do not count in /dev/shm; the last process that lets go of one frees it.
#pragma once

#include <cstdint>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "engine/fd.h"

namespace bitsnap {

// Of zeros; its size cannot change any more.
Result<Fd> CreateMemoryFile(uint64_t bytes);
// Gives it all its pages, so that no access can fail later.
Result<void> AllocateMemoryFile(int fd, uint64_t bytes);

// Holds `content`, which cannot change any more either.
Result<Fd> CreateMemoryFileOf(Bytes content);

// kInvalidArgument for anything but a memory file whose size cannot change.
Result<uint64_t> MemoryFileSize(int fd);

// As MemoryFileSize; also its content may not change any more.
Result<uint64_t> ConstantMemoryFileSize(int fd);

}  // namespace bitsnap
