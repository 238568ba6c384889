// Names from files in messages.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace bitsnap {

// In quotes, control characters escaped, cut where a hostile file made it long.
inline std::string Quote(std::string_view name) {
  constexpr size_t kShown = 200;
  return fmt::format("{:?}{}", name.substr(0, kShown), name.size() > kShown ? "..." : "");
}

}  // namespace bitsnap
