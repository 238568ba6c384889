// What a safetensors file is written to: a file that appears whole under its name, or a pipe or
// device that takes the bytes as they come. Nothing else is ever replaced.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include <bitsnap/result.h>

#include "base/bytes.h"

namespace bitsnap {

// One thread at a time. Destroyed before Commit(), it leaves no file behind.
class Output {
 public:
  // Follows symbolic links, whether there is anything at their end or not. A regular file that is
  // there is replaced, and its mode and owner kept; where it is not to be, or they cannot be, it is
  // an error. kInvalidArgument for a directory, a block device or a socket. kOutOfSpace where the
  // disk has less than `bytes` left.
  static Result<std::unique_ptr<Output>> Open(const std::filesystem::path& path, bool replace,
                                              uint64_t bytes);
  virtual ~Output() = default;
  virtual Result<void> Append(Bytes bytes) = 0;
  // All is where it belongs when this returns.
  virtual Result<void> Commit() = 0;
};

}  // namespace bitsnap
