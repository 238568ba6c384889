// The sending half of a connection.
#pragma once

#include <sys/socket.h>

#include <mutex>

#include "engine/agent/wire.h"

namespace bitsnap::agent {

// Safe to use from several threads.
class Outbox {
 public:
  explicit Outbox(Fd socket) : socket_(std::move(socket)) {}

  int socket() const { return socket_.get(); }

  // As SendFrame. After kIo nothing more can be sent.
  Result<void> Send(const Json& body, int fd = -1) {
    std::lock_guard lock(mutex_);
    Result<void> sent = SendFrame(socket_.get(), body, fd);
    if (!sent && sent.error().kind == ErrorKind::kIo) Shutdown();  // half a frame may be out
    return sent;
  }
  // Not sent when the other end does not read just now.
  void TrySend(const Json& body) {
    std::lock_guard lock(mutex_);
    static_cast<void>(SendFrame(socket_.get(), body, -1, /*may_block=*/false));
  }
  // Both ends read what was sent so far, and then that it is over.
  void Shutdown() { shutdown(socket_.get(), SHUT_RDWR); }

 private:
  const Fd socket_;
  std::mutex mutex_;  // held while sending
};

}  // namespace bitsnap::agent
