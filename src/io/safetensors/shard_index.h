// The index of a sharded safetensors file, `NAME.safetensors.index.json`.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace bitsnap {

// Tensor name to the name of the shard's file, which is a plain name: no path.
using WeightMap = std::map<std::string, std::string>;

// A pure function of the file's text. On failure, what is wrong.
tl::expected<WeightMap, std::string> ParseShardIndex(std::string_view text);

}  // namespace bitsnap
