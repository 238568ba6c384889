#include <bitsnap/tensor.h>

#include <array>

namespace bitsnap {
namespace {

// Indexed by the role's code.
constexpr std::array<std::string_view, kRoleCount> kNames = {"other", "weight", "master", "exp_avg",
                                                             "exp_avg_sq"};

}  // namespace

std::string_view RoleName(Role role) { return kNames[static_cast<size_t>(role)]; }

std::optional<Role> ParseRole(std::string_view name) {
  for (size_t i = 0; i < kRoleCount; ++i) {
    if (kNames[i] == name) return static_cast<Role>(i);
  }
  return std::nullopt;
}

std::optional<Role> RoleFromCode(uint8_t code) {
  if (code >= kRoleCount) return std::nullopt;
  return static_cast<Role>(code);
}

}  // namespace bitsnap
