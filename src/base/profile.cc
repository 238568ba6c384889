#include <algorithm>
#include <iterator>

#include <bitsnap/options.h>

namespace bitsnap {
namespace {

constexpr Profile kProfiles[] = {Profile::kExact, Profile::kFast,     Profile::kPaper,
                                 Profile::kHigh,  Profile::kBalanced, Profile::kCompact,
                                 Profile::kTiny};
// Indexed by the enumerators.
constexpr std::string_view kProfileNames[] = {"exact",    "fast",    "paper", "high",
                                              "balanced", "compact", "tiny"};
static_assert(std::size(kProfileNames) == std::size(kProfiles));

}  // namespace

std::span<const Profile> AllProfiles() { return kProfiles; }

std::string_view ProfileName(Profile profile) {
  return kProfileNames[static_cast<size_t>(profile)];
}

std::optional<Profile> ParseProfile(std::string_view name) {
  const auto found = std::find(std::begin(kProfileNames), std::end(kProfileNames), name);
  if (found == std::end(kProfileNames)) return std::nullopt;
  return static_cast<Profile>(found - std::begin(kProfileNames));
}

}  // namespace bitsnap
