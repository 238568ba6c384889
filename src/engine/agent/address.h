// Where the agent of a store listens, and that nobody else can get there.
#pragma once

#include <filesystem>

#include <bitsnap/result.h>

namespace bitsnap::agent {

struct Address {
  std::filesystem::path store;      // canonical
  std::filesystem::path directory;  // of this user's sockets
  std::filesystem::path socket;
  std::filesystem::path lock;  // held, by flock, by the agent that listens
  std::filesystem::path log;   // what the agent tells
};

// Makes the user's directory where it is missing: $XDG_RUNTIME_DIR/bitsnap where that variable
// names a directory of this user's, else /tmp/bitsnap-UID. kIo, with the remedy, when it is a
// symbolic link, another user's, or open to others.
Result<Address> AddressOf(const std::filesystem::path& store);

// Whether the process at the other end of a connected socket is of the same user.
bool IsSameUser(int socket);

}  // namespace bitsnap::agent
