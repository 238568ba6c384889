// A safetensors file's `__metadata__`, carried in the snapshot's opaque metadata.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace bitsnap::cli {

using Metadata = std::map<std::string, std::string>;

// For SaveOptions::metadata: {"safetensors": {…}} as JSON, empty when there is none.
std::string PackMetadata(const Metadata& metadata);

// PackMetadata's inverse. What others put into a snapshot, such as the Python package, comes under
// the one key "bitsnap.metadata"; packing that gives it back unchanged. nullopt for what is no
// UTF-8, which a safetensors file cannot hold.
std::optional<Metadata> UnpackMetadata(std::string_view packed);

}  // namespace bitsnap::cli
