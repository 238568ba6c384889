#include "engine/agent/address.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/checksum.h"
#include "base/try.h"
#include "io/system_error.h"

namespace bitsnap::agent {
namespace {

namespace fs = std::filesystem;

bool IsOurDirectory(const char* path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

// In the order in which they are tried. In /tmp anybody may take a name of ours, and only they, or
// root, can give it back.
std::vector<fs::path> RuntimeDirectories() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/' && IsOurDirectory(runtime)) {
    return {fs::path(runtime) / "bitsnap"};
  }
  constexpr int kNames = 16;
  std::vector<fs::path> directories = {fmt::format("/tmp/bitsnap-{}", geteuid())};
  for (int i = 1; i < kNames; ++i) {
    directories.push_back(fmt::format("/tmp/bitsnap-{}-{}", geteuid(), i));
  }
  return directories;
}

tl::unexpected<Error> NotSafe(const fs::path& directory, const char* why, bool is_ours) {
  return Fail(
      is_ours ? ErrorKind::kIo : ErrorKind::kAlreadyExists,
      fmt::format("{} {}, so that others could reach the agent; {}", directory.string(), why,
                  is_ours ? "remove it and it is made anew"
                          : "let XDG_RUNTIME_DIR name a directory of yours, the same for "
                            "all ranks of this machine"));
}

Result<void> MakeSafe(const fs::path& directory) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemFail(errno, "create", directory);
  }
  struct stat status;
  if (lstat(directory.c_str(), &status) != 0) return SystemFail(errno, "look at", directory);
  const bool is_ours = status.st_uid == geteuid();
  if (!S_ISDIR(status.st_mode)) return NotSafe(directory, "is not a directory", is_ours);
  if (!is_ours) return NotSafe(directory, "belongs to another user", is_ours);
  if ((status.st_mode & 077) != 0) return NotSafe(directory, "is open to other users", is_ours);
  return {};
}

// The first that is ours or, where none is, can be made: so all ranks find the same, also when who
// took a name gives it back.
Result<fs::path> SafeDirectory() {
  const std::vector<fs::path> directories = RuntimeDirectories();
  for (const fs::path& directory : directories) {
    struct stat status;
    const bool is_ours = lstat(directory.c_str(), &status) == 0 && status.st_uid == geteuid();
    if (is_ours && S_ISDIR(status.st_mode) && (status.st_mode & 077) == 0) return directory;
  }
  Result<void> safe;
  for (const fs::path& directory : directories) {
    safe = MakeSafe(directory);
    if (safe) return directory;
    if (safe.error().kind != ErrorKind::kAlreadyExists) break;
  }
  return Fail(ErrorKind::kIo, safe.error().message);
}

}  // namespace

Result<Address> AddressOf(const fs::path& store) {
  std::error_code failed;
  const fs::path canonical = fs::canonical(store, failed);
  if (failed) return SystemFail(failed.value(), "find", store);
  BITSNAP_ASSIGN(const fs::path directory, SafeDirectory());
  const std::string name = fmt::format("{:016x}", Checksum64(AsBytes(canonical.native())));
  const Address address{canonical, directory, directory / (name + ".sock"),
                        directory / (name + ".lock"), directory / (name + ".log")};
  if (address.socket.native().size() >= sizeof(sockaddr_un::sun_path)) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{} is too long for a socket's path; let XDG_RUNTIME_DIR name a "
                            "shorter one, or unset it",
                            address.socket.string()));
  }
  return address;
}

bool IsSameUser(int socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

}  // namespace bitsnap::agent
