// What client and agent say to each other, as JSON values; docs/engine.md has the protocol.
// Decoding takes nothing for granted: kCorrupt for whatever is missing, of another type or outside
// of its range.
#pragma once

#include <optional>
#include <string>

#include <bitsnap/store.h>

#include "engine/agent/wire.h"
#include "engine/manifest.h"

namespace bitsnap::agent {

// Raised with every change of what is said; agent and client must be of the same.
inline constexpr uint32_t kProtocolVersion = 3;

struct Hello {
  uint32_t version = kProtocolVersion;
  std::string store;  // canonical path
  uint32_t rank = 0;
  uint32_t world_size = 1;
  uint64_t max_memory = 0;  // as in SaverOptions
  uint64_t linger = 0;      // seconds
};

Json ToJson(const Hello& hello);
Json ToJson(const Error& error);
Json ToJson(const Manifest& manifest);
Json ToJson(const SaveOptions& options);  // without progress
Json ToJson(const SaveReport& report);

Result<Hello> ToHello(const Json& json);
Result<Error> ToError(const Json& json);
// Every tensor lies within manifest.bytes, but nothing else is said of it.
Result<Manifest> ToManifest(const Json& json);
Result<SaveOptions> ToSaveOptions(const Json& json);
Result<SaveReport> ToSaveReport(const Json& json);

Json BinaryJson(std::string_view bytes);

}  // namespace bitsnap::agent
