#include "cli/temporary_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/core.h>

namespace bitsnap::cli {

namespace {

namespace fs = std::filesystem;

constexpr char kRamDisk[] = "/dev/shm";

bool HasRoom(const fs::path& folder, uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  return !error && space.available >= bytes;
}

Result<fs::path> MakeFolder(const fs::path& parent) {
  std::string name = (parent / "bitsnap-bench-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    return Fail(ErrorKind::kIo, fmt::format("cannot make a temporary folder in {}: {}",
                                            parent.string(), std::strerror(errno)));
  }
  return name;
}

}  // namespace

Result<TemporaryFolder> TemporaryFolder::Create(uint64_t bytes, const fs::path& elsewhere) {
  Result<fs::path> made;
  if (HasRoom(kRamDisk, bytes)) made = MakeFolder(kRamDisk);
  if (!made || made->empty()) made = MakeFolder(elsewhere.empty() ? "." : elsewhere);
  if (!made) return tl::make_unexpected(made.error());
  return TemporaryFolder(*std::move(made));
}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace bitsnap::cli
