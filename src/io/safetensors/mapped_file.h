// A whole file mapped for reading.
#pragma once

#include <filesystem>

#include <bitsnap/result.h>

#include "base/bytes.h"

namespace bitsnap {

class MappedFile {
 public:
  // Follows symbolic links: model caches are full of them. kTruncated when empty.
  static Result<MappedFile> Open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  Bytes bytes() const { return bytes_; }

 private:
  explicit MappedFile(Bytes bytes) : bytes_(bytes) {}
  Bytes bytes_;  // empty after a move
};

}  // namespace bitsnap
