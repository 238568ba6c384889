#include "store/pairs.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/parallel.h"

namespace bitsnap {
namespace {

struct Pair {
  uint32_t first = 0, second = 0;
  std::optional<Prepared> prepared;
};

void Join(Pair& pair, const TensorPlan& plan, double update_error, std::vector<EncodeTask>& tasks) {
  EncodeTask& first = tasks[pair.first];
  EncodeTask& second = tasks[pair.second];
  first.plan = second.plan = plan;
  first.second = pair.second;
  second.first = pair.first;
  first.params = std::move(pair.prepared->params);
  first.advice = std::move(pair.prepared->advice);
  first.update_error = update_error;
  // What leans on a base must do so in both.
  if (!first.base_tensor || !second.base_tensor) {
    first.base_tensor.reset();
    second.base_tensor.reset();
  }
}

bool MayLose(const EncodeTask& task) {
  return std::any_of(task.plan.codecs.begin(), task.plan.codecs.end(),
                     [&](CodecId id) { return !GetCodec(id).IsLossless(task.params); });
}

bool AreCopiesOfAPair(const EncodeTask& first, const EncodeTask& second,
                      const std::vector<EncodeTask>& tasks) {
  return first.same_as && second.same_as && tasks[*first.same_as].second == second.same_as;
}

// A task by itself, whatever it was before.
EncodeTask WithoutLoss(const EncodeTask& task, double error) {
  EncodeTask exact{.tensor = task.tensor, .base_tensor = task.base_tensor};
  const Leanings leanings{.base = task.base_tensor.has_value()};
  exact.plan = PlanTensor(Profile::kExact, task.tensor->info, leanings);
  exact.plan.why = fmt::format("kept exactly: Adam's update would be {:.2g} % off", 100 * error);
  if (!UsesBase(exact.plan)) exact.base_tensor.reset();
  return exact;
}

}  // namespace

TensorContext TensorContextOf(const EncodeTask& task, const EncodeTask* second,
                              const SaveOptions& options) {
  TensorContext context{.dtype = task.tensor->info.dtype, .first = task.tensor->bytes};
  if (second != nullptr) context.second = second->tensor->bytes;
  context.row_words = RowWords(task.tensor->info);
  context.accepted = AcceptedBy(options.profile);
  context.accepted.eps = options.adam_eps;
  return context;
}

Result<void> PairMoments(std::span<const Relations> relations, const SaveOptions& options,
                         std::vector<EncodeTask>& tasks) {
  const std::optional<TensorPlan> plan = PlanMoments(options.profile);
  if (!plan) return {};
  std::vector<Pair> pairs;
  for (uint32_t i = 0; i < tasks.size(); ++i) {
    if (!relations[i].exp_avg) continue;
    const uint32_t second = *relations[i].exp_avg;
    if (tasks[i].has_blocks() && tasks[second].has_blocks()) pairs.push_back({i, second, {}});
  }
  const Codec& codec = GetCodec(plan->codecs.front());
  const double update_error = AcceptedBy(options.profile).update_error;
  return RunOrdered({
      .count = pairs.size(),
      .threads = ThreadCount(options.threads),
      .slots = std::max<size_t>(1, pairs.size()),
      .produce = [&](size_t item, size_t, unsigned) -> Result<void> {
        Pair& pair = pairs[item];
        pair.prepared =
            codec.Prepare(TensorContextOf(tasks[pair.first], &tasks[pair.second], options));
        return {};
      },
      // The tasks that Prepare reads and those that Join writes are never the same pair's.
      .consume = [&](size_t item, size_t) -> Result<void> {
        if (pairs[item].prepared) Join(pairs[item], *plan, update_error, tasks);
        return {};
      },
  });
}

bool PartTooFarOff(std::span<const TensorRecord> records, std::vector<EncodeTask>& tasks) {
  bool any = false;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!tasks[i].second || records[i].error.empty()) continue;
    const double error = records[i].error.front().value;
    if (error <= tasks[i].update_error) continue;
    any = true;
    EncodeTask& second = tasks[*tasks[i].second];
    second = WithoutLoss(second, error);
    tasks[i] = WithoutLoss(tasks[i], error);
  }
  return any;
}

void PartFromLossy(std::span<const Relations> relations, std::vector<EncodeTask>& tasks) {
  std::vector<bool> agreed(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    const auto second = relations[i].exp_avg;
    if (second && AreCopiesOfAPair(tasks[i], tasks[*second], tasks)) {
      agreed[i] = agreed[*second] = true;
    }
  }
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!agreed[i] && tasks[i].same_as && MayLose(tasks[*tasks[i].same_as])) {
      tasks[i].same_as.reset();
    }
  }
}

}  // namespace bitsnap
