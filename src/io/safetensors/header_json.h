// The JSON header of a safetensors file, before anything in it is compared with the file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace bitsnap {

inline constexpr std::string_view kMetadataKey = "__metadata__";

struct HeaderEntry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<uint64_t> offsets;  // begin and end, from the first byte after the header
};

struct HeaderJson {
  std::vector<HeaderEntry> entries;  // as the header orders them; unique names
  std::map<std::string, std::string> metadata;
};

// On failure, what is wrong.
tl::expected<HeaderJson, std::string> ParseHeaderJson(std::string_view text);

}  // namespace bitsnap
