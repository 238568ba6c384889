#include "policy/plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/checked.h"

namespace bitsnap {
namespace {

bool IsOptimizerState(Role role) {
  return role == Role::kMaster || role == Role::kExpAvg || role == Role::kExpAvgSq;
}

bool IsDeltaDType(DType dtype) { return GetCodec(CodecId::kDelta).Supports(dtype); }

TensorPlan PlanLossless(const TensorInfo& info, const Leanings& leanings) {
  TensorPlan plan{{}, "lossless"};
  if (leanings.weight) plan.codecs.push_back(CodecId::kResidual);
  if (leanings.base && IsDeltaDType(info.dtype)) plan.codecs.push_back(CodecId::kDelta);
  if (leanings.base) plan.codecs.push_back(CodecId::kBitmask);
  plan.codecs.push_back(CodecId::kPlanes);
  return plan;
}

TensorPlan PlanFast(const Leanings& leanings) {
  if (leanings.base) return {{CodecId::kBitmask}, "fast: what changed since the base"};
  return {{}, "fast without a base: raw"};
}

TensorPlan PlanPaper(const TensorInfo& info, const Leanings& leanings) {
  if (info.dtype == DType::kF32 && IsOptimizerState(*info.role)) {
    return {{CodecId::kCluster}, "paper: cluster quantization of fp32 optimizer state, lossy"};
  }
  if (leanings.base) return {{CodecId::kBitmask}, "paper: packed bitmask of what changed"};
  return {{}, "paper without a base: raw"};
}

// A profile that bounds the error: only a master may lose bits on its own.
TensorPlan PlanBounded(const TensorInfo& info, const Leanings& leanings) {
  if (!leanings.weight) return PlanLossless(info, leanings);
  return {{CodecId::kResidual}, "its weight and some of the bits beyond, lossy"};
}

std::string_view NameOf(CodecId id) { return GetCodec(id).name(); }

double RatioOf(const TensorSample& sample, const CodecSample& codec) {
  return static_cast<double>(sample.sampled_bytes) /
         static_cast<double>(std::max<uint64_t>(codec.coded_bytes, 1));
}

// A base must save this part of the snapshot.
constexpr uint64_t kBaseGain = 20;

// A step from the base takes several times the time of the other codecs, both ways, and the base's
// block besides: it must be smaller than they are by this part.
constexpr uint64_t kDeltaGain = 8;

// Moments that lean on a base's take half as long again: what a restore without the base is worth.
constexpr uint64_t kAdamDeltaGain = 64;

// The part by which a codec must be smaller than those that are quicker; 0: it is one of these.
uint64_t GainToAsk(CodecId codec) {
  if (codec == CodecId::kDelta) return kDeltaGain;
  return codec == CodecId::kAdamDelta ? kAdamDeltaGain : 0;
}

// The smallest of those that may be used.
const CodecSample* BestOf(const TensorSample& sample, bool with_base) {
  const CodecSample *best = nullptr, *slow = nullptr;
  for (const CodecSample& codec : sample.codecs) {
    if (codec.with_base && !with_base) continue;
    if (GainToAsk(codec.codec) > 0) {
      slow = &codec;
    } else if (best == nullptr || codec.coded_bytes < best->coded_bytes) {
      best = &codec;
    }
  }
  if (slow == nullptr) return best;
  const uint64_t other = best != nullptr ? best->coded_bytes : sample.sampled_bytes;
  return slow->coded_bytes <= other - CeilDiv(other, GainToAsk(slow->codec)) ? slow : best;
}

bool MayBeUsed(const CodecSample& codec, const CodecSample& best, bool with_base) {
  if (codec.with_base && !with_base) return false;
  // One that may lose something is alone.
  if (best.codec == CodecId::kAdamDelta) return codec.codec == best.codec;
  return GainToAsk(codec.codec) == 0 || codec.codec == best.codec;
}

// "delta 3.6x, bitmask 1.1x, planes 1.5x", in order of the plan.
std::string Describe(const TensorSample& sample, bool with_base) {
  std::vector<std::string> parts;
  for (const CodecSample& codec : sample.codecs) {
    if (codec.with_base && !with_base) continue;
    parts.push_back(fmt::format("{} {:.2f}x", NameOf(codec.codec), RatioOf(sample, codec)));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

Accepted AcceptedBy(Profile profile) {
  switch (profile) {
    case Profile::kExact:
    case Profile::kFast:
    case Profile::kPaper:
      break;
    case Profile::kHigh:
      return {.update_error = 0.0025, .master_bits = 8};
    case Profile::kBalanced:
      return {.update_error = 0.012, .master_bits = 8};
    case Profile::kCompact:
      return {.update_error = 0.05, .master_bits = 5};
    case Profile::kTiny:
      return {.update_error = 0.35, .master_bits = 2};
  }
  return {};
}

bool Has(std::span<const CodecId> codecs, CodecId id) {
  return std::find(codecs.begin(), codecs.end(), id) != codecs.end();
}

BaseForm BaseFormOf(const TensorPlan& plan) {
  for (CodecId id : plan.codecs) {
    const BaseForm form = GetCodec(id).base_form();
    if (form != BaseForm::kNone) return form;
  }
  return BaseForm::kNone;
}

bool LeansOnBase(const TensorPlan& plan) { return BaseFormOf(plan) != BaseForm::kNone; }

TensorPlan PlanTensor(Profile profile, const TensorInfo& info, const Leanings& leanings) {
  switch (profile) {
    case Profile::kExact:
      return PlanLossless(info, leanings);
    case Profile::kFast:
      return PlanFast(leanings);
    case Profile::kPaper:
      return PlanPaper(info, leanings);
    case Profile::kHigh:
    case Profile::kBalanced:
    case Profile::kCompact:
    case Profile::kTiny:
      break;
  }
  return PlanBounded(info, leanings);
}

std::optional<TensorPlan> PlanMoments(Profile profile, bool on_indices) {
  const double error = AcceptedBy(profile).update_error;
  if (error == 0) return std::nullopt;
  TensorPlan plan{
      {CodecId::kAdam},
      fmt::format("Adam's moments together, update error at most {:.2f} %", 100 * error)};
  if (on_indices) {
    plan.codecs = {CodecId::kAdamDelta};
    plan.others = {CodecId::kAdam};
  }
  return plan;
}

uint64_t EstimateBytes(const TensorSample& sample, bool with_base) {
  if (sample.sampled_bytes == 0) return 0;
  const CodecSample* best = BestOf(sample, with_base);
  const uint64_t coded = best != nullptr ? best->coded_bytes : sample.sampled_bytes;
  const double share = static_cast<double>(std::min(coded, sample.sampled_bytes)) /
                       static_cast<double>(sample.sampled_bytes);
  return static_cast<uint64_t>(share * static_cast<double>(sample.tensor_bytes));
}

TensorPlan Narrow(TensorPlan plan, const TensorSample& sample, bool with_base) {
  const CodecSample* best = BestOf(sample, with_base);
  if (best == nullptr) return plan;
  // Blocks differ: what comes near the best in the sample may beat it on some of them.
  const uint64_t near = best->coded_bytes + best->coded_bytes / 64;
  std::vector<CodecId> codecs;
  for (const CodecSample& codec : sample.codecs) {
    if (!MayBeUsed(codec, *best, with_base)) continue;
    const bool is_new = !Has(codecs, codec.codec);
    if (is_new && codec.coded_bytes <= near) codecs.push_back(codec.codec);
  }
  plan.codecs.insert(plan.codecs.end(), plan.others.begin(), plan.others.end());
  plan.others.clear();
  for (CodecId id : plan.codecs) {
    if (!Has(codecs, id)) plan.others.push_back(id);
  }
  plan.sampled_bytes = sample.sampled_bytes;
  plan.coded_bytes = best->coded_bytes;
  // The best one first: its size is then the limit for the others.
  std::stable_partition(codecs.begin(), codecs.end(),
                        [&](CodecId id) { return id == best->codec; });
  plan.why += fmt::format("; in a sample {}", Describe(sample, with_base));
  plan.codecs = std::move(codecs);
  return plan;
}

BaseDecision DecideBase(uint64_t base_step, const SizeEstimate& estimate, const Chain& chain) {
  const uint64_t standalone = estimate.standalone_bytes;
  const uint64_t delta = estimate.delta_bytes;
  const double saved =
      standalone > 0 ? 100 - 100 * static_cast<double>(delta) / static_cast<double>(standalone) : 0;
  if (standalone == 0 || delta > standalone - CeilDiv(standalone, kBaseGain)) {
    return {false,
            fmt::format("leaning on step {} would save about {:.0f} %, less than a twentieth",
                        base_step, saved)};
  }
  if (chain.snapshots > 1 && delta > chain.bytes / chain.snapshots) {
    return {false,
            fmt::format("leaning on step {} would save about {:.0f} %, but it is so far that a "
                        "new base pays: its {} snapshots are smaller on average",
                        base_step, saved, chain.snapshots)};
  }
  return {true, fmt::format("leaning on step {} saves about {:.0f} %", base_step, saved)};
}

}  // namespace bitsnap
