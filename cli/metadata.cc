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

bool IsUtf8(const std::string& text) {
  try {
    (void)json(text).dump();
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

}  // namespace

std::string PackMetadata(const Metadata& metadata) {
  if (metadata.empty()) return "";
  if (metadata.size() == 1 && metadata.begin()->first == kForeign) return metadata.begin()->second;
  return json{{kOurs, metadata}}.dump();
}

std::optional<Metadata> UnpackMetadata(std::string_view packed) {
  if (packed.empty()) return Metadata();
  const json value = json::parse(packed, nullptr, /*allow_exceptions=*/false);
  if (IsOurs(value)) return value[kOurs].get<Metadata>();
  std::string foreign(packed);
  if (!IsUtf8(foreign)) return std::nullopt;
  return Metadata{{kForeign, std::move(foreign)}};
}

}  // namespace bitsnap::cli
