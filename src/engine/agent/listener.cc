#include "engine/agent/listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "base/try.h"
#include "io/system_error.h"

namespace bitsnap::agent {
namespace {

sockaddr_un ToSocketAddress(const std::filesystem::path& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.native().size());  // AddressOf checked its size
  return address;
}

Result<Fd> NewSocket(const std::filesystem::path& path) {
  Fd created(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!created) return SystemFail(errno, "open a socket for", path);
  return created;
}

// Whether the locked file is still the one of this name: the agent before removes it when it ends.
bool IsCurrent(const Fd& lock, const std::filesystem::path& path) {
  struct stat ours, named;
  return fstat(lock.get(), &ours) == 0 && lstat(path.c_str(), &named) == 0 &&
         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

}  // namespace

Result<std::optional<Listener>> Listener::Start(const std::filesystem::path& store) {
  while (true) {
    BITSNAP_ASSIGN(Address address, AddressOf(store));
    Fd lock(open(address.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    // An agent that ended took the directory with it just now.
    if (!lock && errno == ENOENT) continue;
    if (!lock) return SystemFail(errno, "create", address.lock);
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::nullopt;
      return SystemFail(errno, "lock", address.lock);
    }
    if (!IsCurrent(lock, address.lock)) continue;
    Listener listener(std::move(address), std::move(lock));
    BITSNAP_TRY(listener.Listen());
    return listener;
  }
}

Result<void> Listener::Listen() {
  if (unlink(address_.socket.c_str()) != 0 && errno != ENOENT) {
    return SystemFail(errno, "remove", address_.socket);
  }
  BITSNAP_ASSIGN(socket_, NewSocket(address_.socket));
  const sockaddr_un address = ToSocketAddress(address_.socket);
  if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(socket_.get(), SOMAXCONN) != 0) {
    return SystemFail(errno, "listen at", address_.socket);
  }
  return {};
}

Result<Fd> Listener::Accept() const {
  Fd client(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
    return SystemFail(errno, "accept a client at", address_.socket);
  }
  return client && IsSameUser(client.get()) ? std::move(client) : Fd();
}

bool Listener::HasSuccessor() const { return !lock_ && access(address_.lock.c_str(), F_OK) == 0; }

void Listener::Close() {
  if (lock_) {
    unlink(address_.socket.c_str());
    unlink(address_.lock.c_str());
    socket_ = Fd();
    lock_ = Fd();
  }
  rmdir(address_.directory.c_str());  // of the last agent: it is empty then
}

Result<std::optional<Fd>> Connect(const Address& address) {
  BITSNAP_ASSIGN(Fd client, NewSocket(address.socket));
  const sockaddr_un to = ToSocketAddress(address.socket);
  int failed;
  do {
    failed = connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  } while (failed != 0 && errno == EINTR);
  if (failed != 0 && (errno == ENOENT || errno == ECONNREFUSED)) return std::nullopt;
  if (failed != 0) return SystemFail(errno, "connect to", address.socket);
  if (!IsSameUser(client.get())) {
    return Fail(ErrorKind::kIo,
                fmt::format("{}: another user's process listens there", address.socket.string()));
  }
  return client;
}

}  // namespace bitsnap::agent
