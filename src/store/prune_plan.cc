#include "store/prune_plan.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/try.h"
#include "store/thin.h"

namespace bitsnap {
namespace {

// Another process may prune at the same time.
template <class T>
bool IsGone(const Result<T>& result) {
  return !result && result.error().kind == ErrorKind::kNotFound;
}

class Planner {
 public:
  Planner(const StoreLocation& store, const RetentionPolicy& policy)
      : store_(store), policy_(policy), tally_(store.file_system) {}

  Result<PrunePlan> Plan() {
    BITSNAP_ASSIGN(const std::vector<uint64_t> steps, ListSteps(store_));
    for (const uint64_t step : steps) {
      surveys_.emplace(step, SurveyStep(store_, step));
      if (step > policy_.whole_up_to.value_or(step)) {
        stays_.insert(step);
      } else if (!surveys_.at(step).problem) {
        whole_.push_back(step);
      }
    }
    if (whole_.empty()) return std::move(plan_);
    ChooseKept();
    BITSNAP_TRY(PlanRemovals());
    BITSNAP_TRY(PlanThinnings());
    for (const uint64_t step : whole_) {
      if (stays_.contains(step)) plan_.report.kept.push_back(step);
    }
    for (const auto* list : {&plan_.report.removed, &plan_.report.thinned}) {
      for (const PrunedStep& pruned : *list) plan_.report.bytes += pruned.bytes;
    }
    return std::move(plan_);
  }

 private:
  // Fills stays_ with all steps but those that may go.
  void ChooseKept() {
    const bool keep_all = !policy_.keep_last && !policy_.keep_every;
    const uint64_t last = std::max<uint64_t>(policy_.keep_last.value_or(1), 1);
    for (size_t i = 0; i < whole_.size(); ++i) {
      const bool is_last = whole_.size() - i <= last;
      const bool is_one_of_every = policy_.keep_every && whole_[i] % *policy_.keep_every == 0;
      if (keep_all || is_last || is_one_of_every) stays_.insert(whole_[i]);
    }
    for (const auto& [step, survey] : surveys_) {
      if (survey.problem) stays_.insert(step);  // Repair's business
    }
  }

  // Why `base_step` must stay, and as it is: among the steps that stay one leans on it, or may do
  // so and cannot be read. With `needed` a file that has a link of its own to the base does not
  // count.
  std::optional<std::string> WhyLeaned(uint64_t base_step, bool needed) const {
    for (const uint64_t step : stays_) {
      const StepSurvey& survey = surveys_.at(step);
      if (const Error* error = survey.Unreadable()) return WhyMayBeNeeded(step, *error);
      for (const auto& [id, file] : survey.files) {
        if (!file || file->base_step != base_step || (needed && file->base_is_beside)) continue;
        return fmt::format("step {} leans on it{}", step,
                           needed ? " and has no hard link to it" : "");
      }
    }
    return std::nullopt;
  }

  void LeaveAlone(uint64_t step, std::string why) {
    stays_.insert(step);
    plan_.report.left_alone.push_back({step, std::move(why)});
  }

  Result<void> PlanRemovals() {
    std::vector<RemovalPlan> going;
    for (const uint64_t step : whole_) {
      if (stays_.contains(step)) continue;
      Result<FolderContents> contents = ListFolder(store_, step);
      if (IsGone(contents)) continue;
      if (!contents) return tl::make_unexpected(std::move(contents).error());
      if (contents->foreign) {
        LeaveAlone(step, fmt::format("its folder also holds {}, which is not BitSnap's; move that "
                                     "away to have the step removed",
                                     *contents->foreign));
      } else {
        going.push_back({step, std::move(*contents)});
      }
    }
    // Again when one was: another rank of that step may lean on a third.
    while (std::erase_if(going, [&](const RemovalPlan& removal) { return IsNeeded(removal.step); }))
      continue;
    // Not the ranges' version, which clang 14 cannot compile.
    std::stable_partition(going.begin(), going.end(),
                          [&](const RemovalPlan& removal) { return IsDelta(removal.step); });
    for (const RemovalPlan& removal : going) BITSNAP_TRY(CountRemoval(removal));
    plan_.removals = std::move(going);
    return {};
  }

  bool IsDelta(uint64_t step) const {
    const auto& files = surveys_.at(step).files;
    return std::any_of(files.begin(), files.end(),
                       [](const auto& entry) { return entry.second && entry.second->base_step; });
  }

  // Leaves the step alone if one that stays needs it.
  bool IsNeeded(uint64_t step) {
    std::optional<std::string> why = WhyLeaned(step, /*needed=*/true);
    if (why) LeaveAlone(step, std::move(*why));
    return why.has_value();
  }

  Result<void> CountRemoval(const RemovalPlan& removal) {
    const uint64_t before = tally_.bytes();
    for (const std::string& name : removal.contents.All()) {
      BITSNAP_TRY(tally_.Remove(store_.StepFolder(removal.step) / name));
    }
    plan_.report.removed.push_back({removal.step, tally_.bytes() - before});
    return {};
  }

  Result<void> PlanThinnings() {
    if (!policy_.drop_optimizer_older_than) return {};
    for (const uint64_t step : whole_) {
      const uint64_t age = whole_.back() - step;
      if (age > *policy_.drop_optimizer_older_than && stays_.contains(step)) {
        const Result<void> planned = PlanThinning(step);
        if (!planned && !IsGone(planned)) return planned;
      }
    }
    return {};
  }

  Result<void> PlanThinning(uint64_t step) {
    ThinningPlan thinning{step, {}};
    std::vector<std::filesystem::path> links;  // to bases that will not be needed
    uint64_t bytes = 0;
    bool has_other_links = false;
    for (const auto& [id, summary] : surveys_.at(step).files) {
      if (!summary) continue;
      BITSNAP_ASSIGN(const SnapshotReader file, OpenRankFile(store_, step, id));
      const auto kept = WithoutOptimizer(file.index());
      if (!kept) continue;
      thinning.files.push_back(id);
      bytes += DroppedBytes(file.index(), *kept);
      if (summary->base_is_beside && !NeedsBase(file.index(), *kept)) {
        links.push_back(store_.StepFolder(step) / summary->base_link);
      }
      BITSNAP_ASSIGN(const uint64_t names, tally_.LinksLeft(file.path()));
      has_other_links |= names > 1;
    }
    if (thinning.files.empty()) return {};
    if (const auto why = WhyLeaned(step, /*needed=*/false)) {
      LeaveAlone(step, "keeps its optimizer state: " + *why);
    } else if (has_other_links) {
      LeaveAlone(step,
                 "keeps its optimizer state: a file of it has another hard link, so that "
                 "dropping would give nothing back");
    } else {
      const uint64_t before = tally_.bytes();
      for (const auto& link : links) BITSNAP_TRY(tally_.Remove(link));
      plan_.report.thinned.push_back({step, bytes + tally_.bytes() - before});
      plan_.thinnings.push_back(std::move(thinning));
    }
    return {};
  }

  const StoreLocation& store_;
  const RetentionPolicy& policy_;
  SpaceTally tally_;
  std::map<uint64_t, StepSurvey> surveys_;
  std::vector<uint64_t> whole_;  // oldest first
  std::set<uint64_t> stays_;
  PrunePlan plan_;
};

}  // namespace

Result<void> CheckPolicy(const RetentionPolicy& policy) {
  if (!policy.keep_last && !policy.keep_every && !policy.drop_optimizer_older_than) {
    return Fail(ErrorKind::kInvalidArgument,
                "nothing said about what to keep; give keep-last, keep-every or "
                "drop-optimizer-older-than");
  }
  if (policy.keep_last == 0u || policy.keep_every == 0u) {
    return Fail(ErrorKind::kInvalidArgument,
                "keep-last and keep-every must be at least 1; leave out what is not wanted");
  }
  return {};
}

Result<PrunePlan> PlanPrune(const StoreLocation& store, const RetentionPolicy& policy) {
  BITSNAP_TRY(CheckPolicy(policy));
  BITSNAP_ASSIGN(const bool is_partial, IsPartial(store));
  if (is_partial && !policy.whole_up_to) {
    return Fail(
        ErrorKind::kInvalidArgument,
        fmt::format("{}: holds some ranks' files only, the others are on other machines; say "
                    "up to which step all of them have saved (whole-up-to)",
                    store.directory.string()));
  }
  return Planner(store, policy).Plan();
}

}  // namespace bitsnap
