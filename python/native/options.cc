#include "python/native/options.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "python/native/errors.h"

namespace bitsnap::python {

namespace nb = nanobind;

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

std::optional<RetentionPolicy> ToRetention(RetentionPolicy policy) {
  const bool says_nothing = !policy.keep_last && !policy.keep_every &&
                            !policy.drop_optimizer_older_than && !policy.drop_abandoned;
  return says_nothing ? std::nullopt : std::optional(std::move(policy));
}

std::optional<Lineage> ToLineage(const nb::handle& record) {
  if (record.is_none()) return std::nullopt;
  Lineage lineage;
  lineage.run = nb::cast<uint64_t>(record.attr("run"));
  lineage.order = nb::cast<uint64_t>(record.attr("order"));
  using Pair = std::pair<uint64_t, uint64_t>;
  if (const nb::object parent = record.attr("parent"); !parent.is_none()) {
    const auto [step, save_id] = nb::cast<Pair>(parent);
    lineage.parent = ParentSave{step, save_id};
  }
  for (const auto& [run, up_to] : nb::cast<std::vector<Pair>>(record.attr("ancestors"))) {
    lineage.ancestors.push_back({run, up_to});
  }
  return lineage;
}

}  // namespace bitsnap::python
