// The socket that the agent of a store listens at; one process at a time has it.
#pragma once

#include <optional>

#include <bitsnap/result.h>

#include "engine/agent/address.h"
#include "engine/fd.h"

namespace bitsnap::agent {

class Listener {
 public:
  // nullopt when another process has it. What a killed agent left is removed.
  static Result<std::optional<Listener>> Start(const std::filesystem::path& store);
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) = delete;
  ~Listener() { Close(); }

  const Address& address() const { return address_; }
  int socket() const { return socket_.get(); }
  // A client of this user's; none when nobody is there or it was another's. An error when there are
  // no descriptors or memory for one.
  Result<Fd> Accept() const;
  // Whether it is closed and another agent of the store listens.
  bool HasSuccessor() const;
  // Removes socket and lock, if it has them still, and the directory when nothing else is in it.
  void Close();

 private:
  Listener(Address address, Fd lock) : address_(std::move(address)), lock_(std::move(lock)) {}
  Result<void> Listen();

  Address address_;
  Fd lock_;
  Fd socket_;
};

// A connection to the agent that listens there; none when nobody does. kIo when the agent is
// another user's.
Result<std::optional<Fd>> Connect(const Address& address);

}  // namespace bitsnap::agent
