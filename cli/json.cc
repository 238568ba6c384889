#include "cli/json.h"

#include <cstdio>

#include "cli/print.h"

namespace bitsnap::cli {

void PrintJson(const Json& document) {
  // What is not UTF-8 in a name or message must not cost the whole document, and what is not ASCII
  // not reach a terminal.
  WriteOut(document.dump(2, ' ', true, Json::error_handler_t::replace) + "\n");
}

void PrintJsonLine(const Json& document) {
  WriteOut(document.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n");
  std::fflush(stdout);
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

Json SaveJson(const SaveReport& report, const SaveOptions& options) {
  Json roles = Json::object();
  for (const auto& [role, bytes] : report.roles) {
    roles[std::string(RoleName(role))] = {{"raw_bytes", bytes.raw_bytes},
                                          {"stored_bytes", bytes.stored_bytes}};
  }
  return {{"step", report.step},
          {"rank", options.rank},
          {"world_size", options.world_size},
          {"profile", ProfileName(options.profile)},
          {"raw_bytes", report.raw_bytes},
          {"stored_bytes", report.stored_bytes},
          {"ratio", RatioJson(report.raw_bytes, report.stored_bytes)},
          {"base_step", OptionalJson(report.base_step)},
          {"base_reason", report.base_reason},
          {"seconds", report.seconds},
          {"roles", roles}};
}

}  // namespace bitsnap::cli
