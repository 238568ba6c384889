#include "cli/json.h"

#include <fmt/core.h>

namespace bitsnap::cli {

void PrintJson(const Json& document) {
  // What is not UTF-8 in a name or message must not cost the whole document.
  fmt::print("{}\n", document.dump(2, ' ', false, Json::error_handler_t::replace));
}

Json ErrorJson(const Error& error) {
  return {{"kind", ErrorKindName(error.kind)}, {"message", error.message}};
}

Json PassedOverJson(std::span<const PassedOver> steps) {
  Json list = Json::array();
  for (const PassedOver& passed : steps) {
    Json entry = {{"step", passed.step}};
    entry.update(ErrorJson(passed.error));
    list.push_back(std::move(entry));
  }
  return list;
}

Json OptionalJson(const std::optional<uint64_t>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json RatioJson(uint64_t raw_bytes, uint64_t stored_bytes) {
  if (stored_bytes == 0) return nullptr;
  return static_cast<double>(raw_bytes) / static_cast<double>(stored_bytes);
}

}  // namespace bitsnap::cli
