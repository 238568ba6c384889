#include "store/pairs.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/parallel.h"

namespace bitsnap {
namespace {

struct Pair {
  uint32_t first = 0, second = 0;
  std::optional<Prepared> prepared = {};
  bool on_indices = false;
};

void TakePrepared(Pair& pair, EncodeTask& first) {
  first.params = std::move(pair.prepared->params);
  first.advice = std::move(pair.prepared->advice);
}

void Join(Pair& pair, const SaveOptions& options, std::vector<EncodeTask>& tasks) {
  EncodeTask& first = tasks[pair.first];
  EncodeTask& second = tasks[pair.second];
  first.plan = second.plan = *PlanMoments(options.profile, pair.on_indices);
  first.second = pair.second;
  second.first = pair.first;
  TakePrepared(pair, first);
  first.update_error = AcceptedBy(options.profile).update_error;
  // What leans on a base must do so in both.
  if (!first.base_tensor || !second.base_tensor) {
    first.base_tensor.reset();
    second.base_tensor.reset();
  }
}

// The params of the pair in the base, empty where it is none there.
Bytes ParamsInBase(const Pair& pair, const SnapshotReader* base,
                   const std::vector<EncodeTask>& tasks) {
  const auto first = tasks[pair.first].base_tensor, second = tasks[pair.second].base_tensor;
  if (base == nullptr || !first || !second) return {};
  const auto place = LocatePair({base, nullptr}, *first, *second);
  if (!place) return {};
  return base->index().tensors[place->tensor].params;
}

void PreparePair(const SaveOptions& options, const SnapshotReader* base,
                 const std::vector<EncodeTask>& tasks, Pair& pair) {
  TensorContext context = TensorContextOf(tasks[pair.first], &tasks[pair.second], options);
  context.base_params = ParamsInBase(pair, base, tasks);
  pair.prepared = GetCodec(CodecId::kAdamDelta).Prepare(context);
  pair.on_indices = pair.prepared.has_value();
  if (!pair.on_indices) pair.prepared = GetCodec(CodecId::kAdam).Prepare(context);
}

// Calls finish(pair) for those that the codec serves, one at a time, while others are prepared: it
// may write to the pair's own tasks.
template <class Finish>
Result<void> PreparePairs(std::vector<Pair>& pairs, const SaveOptions& options,
                          const SnapshotReader* base, const std::vector<EncodeTask>& tasks,
                          Finish finish) {
  return RunOrdered({
      .count = pairs.size(),
      .threads = ThreadCount(options.threads),
      .slots = std::max<size_t>(1, pairs.size()),
      .produce = [&](size_t item, size_t, unsigned) -> Result<void> {
        PreparePair(options, base, tasks, pairs[item]);
        return {};
      },
      .consume = [&](size_t item, size_t) -> Result<void> {
        if (pairs[item].prepared) finish(pairs[item]);
        return {};
      },
  });
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
  if (!LeansOnBase(exact.plan)) exact.base_tensor.reset();
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
                         const SnapshotReader* base, std::vector<EncodeTask>& tasks) {
  if (!PlanMoments(options.profile, false)) return {};
  std::vector<Pair> pairs;
  for (uint32_t i = 0; i < tasks.size(); ++i) {
    if (!relations[i].exp_avg) continue;
    const uint32_t second = *relations[i].exp_avg;
    if (tasks[i].has_blocks() && tasks[second].has_blocks()) pairs.push_back({i, second});
  }
  return PreparePairs(pairs, options, base, tasks, [&](Pair& pair) { Join(pair, options, tasks); });
}

Result<void> PrepareToStandAlone(const SaveOptions& options, std::vector<EncodeTask>& tasks) {
  std::vector<Pair> pairs;
  for (uint32_t i = 0; i < tasks.size(); ++i) {
    EncodeTask& task = tasks[i];
    if (!task.second || !Has(task.plan.others, CodecId::kAdamDelta)) continue;
    EncodeTask& second = tasks[*task.second];
    task.plan.others.clear();
    second.plan = task.plan;
    task.base_tensor.reset();
    second.base_tensor.reset();
    pairs.push_back({i, *task.second});
  }
  return PreparePairs(pairs, options, nullptr, tasks,
                      [&](Pair& pair) { TakePrepared(pair, tasks[pair.first]); });
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
