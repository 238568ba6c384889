#include "store/prune_plan.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/try.h"
#include "store/sound.h"
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
  Planner(const StoreLocation& store, const RetentionPolicy& policy, const PruneScope& scope)
      : store_(store), policy_(policy), scope_(scope) {}

  // Once more for each step that turns out to be damaged and therefore does not count.
  Result<PrunePlan> Plan() {
    BITSNAP_TRY(Survey());
    FindLine();
    for (;;) {
      BITSNAP_TRY(PlanOnce());
      if (plan_.removals.empty() && plan_.thinnings.empty()) break;
      const size_t damaged = damaged_.size();
      for (const uint64_t step : counted_) BITSNAP_TRY(CheckStep(step));
      if (damaged_.size() == damaged) break;
    }
    return std::move(plan_);
  }

 private:
  Result<void> Survey() {
    BITSNAP_ASSIGN(const std::vector<uint64_t> steps, ListSteps(store_));
    for (const uint64_t step : steps) {
      const auto surveyed = surveys_.emplace(step, SurveyStep(store_, step)).first;
      line_.steps.push_back(OriginOf(store_, step, surveyed->second));
    }
    return {};
  }

  bool IsWhole(uint64_t step) const {
    return !surveys_.at(step).problem && step <= policy_.whole_up_to.value_or(step);
  }

  // The line is that of the save that prunes, whether all its ranks have come or not.
  void FindLine() {
    line_.descent = FindDescent(line_.steps, [&](size_t i) {
      const StepOrigin& origin = line_.steps[i];
      // Of the newer run of another process nothing is known here.
      const bool is_newer = scope_.lineage && origin.lineage->order > scope_.lineage->order;
      return !is_newer && IsWhole(origin.step);
    });
    if (line_.head()) lineage_ = line_.head()->lineage;
    if (!scope_.lineage || (lineage_ && lineage_->run == scope_.lineage->run)) {
      line_is_durable_ = line_.head() != nullptr;
      return;
    }
    lineage_ = scope_.lineage;
    line_.descent.head.reset();
    for (size_t i = 0; i < line_.steps.size(); ++i) {
      const StepOrigin& origin = line_.steps[i];
      if (!origin.lineage || origin.lineage->order > lineage_->order) continue;
      const bool is_beside = origin.lineage->order == lineage_->order;
      line_.descent.is_abandoned[i] =
          !is_beside && !lineage_->Includes(origin.lineage->run, origin.step);
    }
  }

  bool IsOnLine(const StepOrigin& origin) const {
    return lineage_ && origin.lineage && lineage_->Includes(origin.lineage->run, origin.step);
  }

  Result<void> PlanOnce() {
    plan_ = {};
    plan_.line = line_;
    plan_.line_is_durable = line_is_durable_;
    tally_ = SpaceTally(store_.file_system);
    whole_.clear();
    doubtful_.clear();
    stays_.clear();
    Sort();
    ChooseKept();
    BITSNAP_TRY(PlanRemovals());
    BITSNAP_TRY(PlanThinnings());
    for (const auto* list : {&whole_, &doubtful_}) {
      std::ranges::copy_if(*list, std::back_inserter(plan_.report.kept),
                           [&](uint64_t step) { return stays_.contains(step); });
    }
    std::ranges::sort(plan_.report.kept);
    std::erase_if(plan_.report.abandoned, [&](uint64_t step) { return !stays_.contains(step); });
    for (const auto* list : {&plan_.report.removed, &plan_.report.thinned}) {
      for (const PrunedStep& pruned : *list) plan_.report.bytes += pruned.bytes;
    }
    return {};
  }

  // Whether the current run has a step that counts: what it left behind may be all there is else.
  bool HasStepOfItsOwn() const {
    return std::ranges::any_of(line_.steps, [&](const StepOrigin& origin) {
      return origin.lineage && origin.lineage->run == lineage_->run &&
             std::ranges::binary_search(whole_, origin.step);
    });
  }

  // Into the steps that count, those that do not, and those that stay for another reason.
  void Sort() {
    for (size_t i = 0; i < line_.steps.size(); ++i) {
      const uint64_t step = line_.steps[i].step;
      if (!surveys_.at(step).problem && line_.descent.is_abandoned[i]) {
        plan_.report.abandoned.push_back(step);
      } else if (!IsWhole(step) || !IsOnLine(line_.steps[i])) {
        stays_.insert(step);  // Repair's business, or not whole yet
      } else if (damaged_.contains(step) || std::ranges::count(policy_.passed_over, step) > 0) {
        doubtful_.push_back(step);
      } else {
        whole_.push_back(step);
      }
    }
    if (!policy_.drop_abandoned || !HasStepOfItsOwn()) {
      stays_.insert(plan_.report.abandoned.begin(), plan_.report.abandoned.end());
    }
    stays_.insert(policy_.keep.begin(), policy_.keep.end());
    if (scope_.saved) stays_.insert(*scope_.saved);
    std::erase_if(stays_, [&](uint64_t step) { return !surveys_.contains(step); });
  }

  // Fills stays_ with all steps but those that may go.
  void ChooseKept() {
    const bool keep_all = !policy_.keep_last && !policy_.keep_every;
    const uint64_t last = std::max<uint64_t>(policy_.keep_last.value_or(1), 1);
    counted_.assign(whole_.end() - static_cast<ptrdiff_t>(std::min<uint64_t>(last, whole_.size())),
                    whole_.end());
    const auto is_one_of_every = [&](uint64_t step) {
      return policy_.keep_every && step % *policy_.keep_every == 0;
    };
    for (const uint64_t step : whole_) {
      if (keep_all || is_one_of_every(step)) stays_.insert(step);
    }
    stays_.insert(counted_.begin(), counted_.end());
    for (const uint64_t step : doubtful_) {
      const bool is_older = !counted_.empty() && step < counted_.front();
      if (is_older && !keep_all && !is_one_of_every(step)) continue;
      LeaveAlone(step, "does not count: " + WhyDoubtful(step));
    }
  }

  std::string WhyDoubtful(uint64_t step) const {
    const auto found = damaged_.find(step);
    return found == damaged_.end() ? "it could not be restored" : found->second;
  }

  // Reads the files of a step that is to stay before others go for it.
  Result<void> CheckStep(uint64_t step) {
    const StepSurvey& survey = surveys_.at(step);
    for (const auto& [id, file] : survey.files) {
      if (id.world_size != survey.world_size || (scope_.rank && id != *scope_.rank)) continue;
      if (scope_.progress && !scope_.progress(read_bytes_, read_bytes_ + file->bytes)) {
        return Fail(ErrorKind::kCancelled, "pruning was cancelled; nothing was removed");
      }
      const Result<void> sound = CheckSound(store_, step, id);
      read_bytes_ += file->bytes;
      if (!sound) damaged_.emplace(step, sound.error().message);
    }
    return {};
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
    for (const auto& [step, survey] : surveys_) {
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
      if (std::ranges::count(policy_.keep, step) > 0) continue;
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
  const PruneScope& scope_;
  std::map<uint64_t, StepSurvey> surveys_;
  Line line_;
  std::optional<Lineage> lineage_;  // of the line that is pruned
  bool line_is_durable_ = false;
  std::map<uint64_t, std::string> damaged_;  // and how
  uint64_t read_bytes_ = 0;

  // Of one PlanOnce:
  SpaceTally tally_{nullptr};
  std::vector<uint64_t> whole_;     // those that count, oldest first
  std::vector<uint64_t> doubtful_;  // of the line, but damaged or passed over
  std::vector<uint64_t> counted_;   // the newest of whole_, for which others go
  std::set<uint64_t> stays_;
  PrunePlan plan_;
};

}  // namespace

Result<void> CheckPolicy(const RetentionPolicy& policy) {
  if (!policy.keep_last && !policy.keep_every && !policy.drop_optimizer_older_than &&
      !policy.drop_abandoned) {
    return Fail(ErrorKind::kInvalidArgument,
                "nothing said about what to keep; give keep-last, keep-every, "
                "drop-optimizer-older-than or abandoned");
  }
  if (policy.keep_last == 0u || policy.keep_every == 0u) {
    return Fail(ErrorKind::kInvalidArgument,
                "keep-last and keep-every must be at least 1; leave out what is not wanted");
  }
  return {};
}

Result<PrunePlan> PlanPrune(const StoreLocation& store, const RetentionPolicy& policy,
                            const PruneScope& scope) {
  BITSNAP_TRY(CheckPolicy(policy));
  BITSNAP_ASSIGN(const bool is_partial, IsPartial(store));
  if (is_partial && !policy.whole_up_to) {
    return Fail(
        ErrorKind::kInvalidArgument,
        fmt::format("{}: holds some ranks' files only, the others are on other machines; say "
                    "up to which step all of them have saved (whole-up-to)",
                    store.directory.string()));
  }
  return Planner(store, policy, scope).Plan();
}

}  // namespace bitsnap
