#include "io/safetensors/json_handler.h"

#include <fmt/format.h>

namespace bitsnap {

bool JsonHandler::parse_error(size_t position, const std::string&,
                              const nlohmann::json::exception& error) {
  const bool bad_utf8 = std::string_view(error.what()).find("UTF-8") != std::string_view::npos;
  return Reject(
      fmt::format("it is not valid {} at byte {}", bad_utf8 ? "UTF-8" : "JSON", position));
}

bool JsonHandler::Reject(std::string reason) {
  reason_ = std::move(reason);
  return false;
}

bool JsonHandler::Unexpected(std::string_view what) {
  return Reject(fmt::format("{} has {} where the format has none", Where(), what));
}

tl::expected<void, std::string> ParseJsonObject(std::string_view text, JsonHandler& handler) {
  if (!text.starts_with('{')) return tl::make_unexpected("it does not start with '{'");
  // The parser would take a zero byte for the end and ignore what follows.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return tl::make_unexpected(fmt::format("it is not valid JSON at byte {}", zero + 1));
  }
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &handler)) return {};
  return tl::make_unexpected(handler.reason());
}

}  // namespace bitsnap
