// Messages over a Unix socket: a frame is a u32 length, little-endian, and so many bytes of CBOR;
// open files may go with it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include <bitsnap/result.h>

#include "engine/fd.h"

namespace bitsnap::agent {

using Json = nlohmann::json;

inline constexpr uint32_t kMaxFrameBytes = uint32_t{64} << 20;
inline constexpr size_t kMaxFrameFds = 1;

struct Frame {
  Json body;  // an object
  std::optional<Fd> fd;
};

// Writes one frame; `fd`, -1 for none, stays the caller's. One thread at a time a socket. kIo when
// the other end is gone, kInvalidArgument when the message is too large. With `may_block` false, a
// socket that takes nothing now is no error, and the frame is dropped.
Result<void> SendFrame(int socket, const Json& body, int fd = -1, bool may_block = true);

// Reads one frame; nullopt when the other end is gone, even in the middle of one. kCorrupt for what
// is no frame: nothing more can be read from this socket then. One thread at a time a socket.
Result<std::optional<Frame>> ReceiveFrame(int socket);

// CBOR that is an object, nested no deeper than our messages are; kCorrupt for anything else.
Result<Json> ParseBody(std::span<const uint8_t> cbor);

}  // namespace bitsnap::agent
