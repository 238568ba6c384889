#include "cli/metadata.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace bitsnap::cli {

namespace {

using nlohmann::json;

constexpr char kOurs[] = "safetensors";
constexpr char kForeign[] = "bitsnap.metadata";

bool IsOurs(const json& value) {
  if (!value.is_object() || value.size() != 1 || !value.contains(kOurs)) return false;
  const json& entries = value[kOurs];
  return entries.is_object() && std::all_of(entries.begin(), entries.end(),
                                            [](const json& entry) { return entry.is_string(); });
}

}  // namespace

std::string PackMetadata(const Metadata& metadata) {
  if (metadata.empty()) return "";
  if (metadata.size() == 1 && metadata.begin()->first == kForeign) return metadata.begin()->second;
  return json{{kOurs, metadata}}.dump();
}

Metadata UnpackMetadata(std::string_view packed) {
  if (packed.empty()) return {};
  const json value = json::parse(packed, nullptr, /*allow_exceptions=*/false);
  if (IsOurs(value)) return value[kOurs].get<Metadata>();
  return {{kForeign, std::string(packed)}};
}

}  // namespace bitsnap::cli
