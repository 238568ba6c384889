// What a hostile end of the agent's socket does, as a fuzzer's input tells it: steps, each of which
// says something, changes what a well-behaved end would say, or passes the wrong file along.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/agent/wire.h"
#include "engine/memory_file.h"

namespace bitsnap::agent {

inline void Require(bool condition) {
  if (!condition) std::abort();
}

struct Step {
  uint8_t verb;
  uint8_t file;
  Bytes payload;
};

// Each step is a byte for verb, file and the payload's size, and the payload; some steps at most,
// since each may take megabytes.
inline std::vector<Step> ReadSteps(Bytes input) {
  constexpr size_t kMaxSteps = 32;
  std::vector<Step> steps;
  while (input.size() >= 3 && steps.size() < kMaxSteps) {
    const auto at = [&](size_t i) { return std::to_integer<uint8_t>(input[i]); };
    const size_t size = std::min<size_t>(at(2), input.size() - 3);
    steps.push_back({at(0), at(1), input.subspan(3, size)});
    input = input.subspan(3 + size);
  }
  return steps;
}

// CBOR, which need not be any.
inline Result<Json> ParsePayload(Bytes payload) {
  return ParseBody({reinterpret_cast<const uint8_t*>(payload.data()), payload.size()});
}

// `good` with the fields of `payload` put in, where that is an object.
inline Json Changed(Json good, Bytes payload) {
  if (const auto changes = ParsePayload(payload)) good.update(*changes);
  return good;
}

// 0: the one that belongs there, 1: none, and others that do not.
inline Fd ChooseFile(uint8_t kind, Fd good) {
  switch (kind % 8) {
    case 0:
      return good;
    case 1:
      return Fd();
    case 2:
      return Fd(open("/dev/null", O_RDWR | O_CLOEXEC));
    case 3:  // may shrink
      return Fd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    case 4:  // of another size
      return *CreateMemoryFile(1);
    case 5:
      return *CreateMemoryFile(0);
    case 6:  // constant
      return *CreateMemoryFileOf(std::as_bytes(std::span("content")));
    default:
      return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
}

// False when nobody listens any more.
inline bool SendRaw(int socket, Bytes bytes) {
  return send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) == std::ssize(bytes);
}

// A frame of the right length around anything.
inline bool SendFramed(int socket, Bytes body) {
  const auto size = static_cast<uint32_t>(body.size());
  return SendRaw(socket, std::as_bytes(std::span(&size, 1))) && SendRaw(socket, body);
}

// Once: memory files of one process may become 16 MiB large and no larger, so that no input takes
// the machine's memory just by asking for it.
inline void LimitFiles() {
  signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {size_t{16} << 20, size_t{16} << 20};
  setrlimit(RLIMIT_FSIZE, &limit);
}

inline size_t OpenFiles() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

// In memory where that is to be had: no disk is what is tested here.
inline std::filesystem::path MakeFolder() {
  std::string pattern = (std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp") +
                        std::string("/bitsnap-fuzz-XXXXXX");
  Require(mkdtemp(pattern.data()) != nullptr);
  return pattern;
}

}  // namespace bitsnap::agent
