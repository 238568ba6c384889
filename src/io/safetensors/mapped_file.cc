#include "io/safetensors/mapped_file.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "base/try.h"
#include "io/regular_file.h"
#include "io/system_error.h"

namespace bitsnap {

Result<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  BITSNAP_ASSIGN(const RegularFile file, OpenRegularFile(path, Symlinks::kFollow));
  if (file.size == 0) {
    return Fail(ErrorKind::kTruncated, fmt::format("{} is empty", path.string()));
  }
  void* const start = mmap(nullptr, file.size, PROT_READ, MAP_SHARED, file.fd.get(), 0);
  if (start == MAP_FAILED) return SystemFail(errno, "map", path);
  return MappedFile(Bytes(static_cast<const std::byte*>(start), file.size));
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace bitsnap
