#include "engine/agent/address.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

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

fs::path RuntimeDirectory() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/' && IsOurDirectory(runtime)) {
    return fs::path(runtime) / "bitsnap";
  }
  return fmt::format("/tmp/bitsnap-{}", geteuid());
}

tl::unexpected<Error> NotSafe(const fs::path& directory, const char* why) {
  return Fail(ErrorKind::kIo, fmt::format("{} {}, so that others could reach the agent; remove it "
                                          "and it is made anew",
                                          directory.string(), why));
}

Result<void> MakeSafe(const fs::path& directory) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemFail(errno, "create", directory);
  }
  struct stat status;
  if (lstat(directory.c_str(), &status) != 0) return SystemFail(errno, "look at", directory);
  if (!S_ISDIR(status.st_mode)) return NotSafe(directory, "is not a directory");
  if (status.st_uid != geteuid()) return NotSafe(directory, "belongs to another user");
  if ((status.st_mode & 077) != 0) return NotSafe(directory, "is open to other users");
  return {};
}

}  // namespace

Result<Address> AddressOf(const fs::path& store) {
  std::error_code failed;
  const fs::path canonical = fs::canonical(store, failed);
  if (failed) return SystemFail(failed.value(), "find", store);
  const fs::path directory = RuntimeDirectory();
  const std::string name = fmt::format("{:016x}", Checksum64(AsBytes(canonical.native())));
  const Address address{canonical, directory, directory / (name + ".sock"),
                        directory / (name + ".lock")};
  if (address.socket.native().size() >= sizeof(sockaddr_un::sun_path)) {
    return Fail(ErrorKind::kInvalidArgument,
                fmt::format("{} is too long for a socket's path; let XDG_RUNTIME_DIR name a "
                            "shorter one, or unset it",
                            address.socket.string()));
  }
  BITSNAP_TRY(MakeSafe(directory));
  return address;
}

bool IsSameUser(int socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

}  // namespace bitsnap::agent
