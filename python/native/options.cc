#include "python/native/options.h"

#include "python/native/errors.h"

namespace bitsnap::python {

Profile ToProfile(const std::string& name) {
  const std::optional<Profile> profile = ParseProfile(name);
  if (!profile) {
    std::string names;
    for (const Profile each : AllProfiles()) {
      names += (names.empty() ? "" : ", ") + std::string(ProfileName(each));
    }
    Throw({ErrorKind::kInvalidArgument, "unknown profile '" + name + "'; use one of " + names});
  }
  return *profile;
}

BaseChoice ToBase(const Base& base) {
  if (const auto* step = std::get_if<uint64_t>(&base)) return {BaseChoice::Kind::kStep, *step};
  const auto& text = std::get<std::string>(base);
  if (text == "auto") return {BaseChoice::Kind::kAuto};
  if (text == "none") return {BaseChoice::Kind::kNone};
  Throw({ErrorKind::kInvalidArgument,
         "unknown base '" + text + "'; use \"auto\", \"none\" or the number of a step"});
}

std::optional<RetentionPolicy> ToRetention(const Rule& keep_last, const Rule& keep_every,
                                           const Rule& drop_optimizer_older_than,
                                           const Rule& whole_up_to) {
  if (!keep_last && !keep_every && !drop_optimizer_older_than) return std::nullopt;
  return RetentionPolicy{keep_last, keep_every, drop_optimizer_older_than, whole_up_to};
}

}  // namespace bitsnap::python
