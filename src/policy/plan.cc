#include "policy/plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/checked.h"

namespace bitsnap {
namespace {

bool IsOptimizerState(Role role) {
  return role == Role::kMaster || role == Role::kExpAvg || role == Role::kExpAvgSq;
}

// What a profile asks of its codecs.
struct Demands {
  Loss most = Loss::kNone;
  bool quick = false;
};

Demands DemandsOf(Profile profile, Role role) {
  switch (profile) {
    case Profile::kExact:
      return {};
    case Profile::kFast:
      return {.quick = true};
    case Profile::kPaper:
      return {.most = IsOptimizerState(role) ? Loss::kAny : Loss::kNone, .quick = true};
    case Profile::kHigh:
    case Profile::kBalanced:
    case Profile::kCompact:
    case Profile::kTiny:
      break;
  }
  return {.most = Loss::kAccepted};
}

bool Fits(const Codec& codec, std::span<const TensorInfo* const> tensors,
          const Leanings& leanings) {
  const bool base = codec.base_form() == BaseForm::kCoded ? leanings.coded_base : leanings.base;
  return &codec != &FallbackCodec() && codec.parts() == tensors.size() &&
         (!codec.needs_base() || base) && (!codec.needs_peer() || leanings.weight) &&
         std::ranges::all_of(tensors,
                             [&](const TensorInfo* info) { return codec.Supports(info->dtype); });
}

std::string WhyOf(Profile profile, const UnitPlan& plan, size_t tensors) {
  const std::string name(ProfileName(profile));
  if (tensors > 1) {
    return fmt::format("Adam's moments together, update error at most {:.2f} %",
                       100 * AcceptedBy(profile).update_error);
  }
  switch (profile) {
    case Profile::kFast:
      return name +
             (plan.codecs.empty() ? " without a base: raw" : ": what changed since the base");
    case Profile::kPaper:
      if (plan.lossy) return name + ": cluster quantization of fp32 optimizer state, lossy";
      return name +
             (plan.codecs.empty() ? " without a base: raw" : ": packed bitmask of what changed");
    default:
      return plan.lossy ? "its weight and some of the bits beyond, lossy" : "lossless";
  }
}

std::string_view NameOf(CodecId id) { return GetCodec(id).name(); }

double RatioOf(const UnitSample& sample, const CodecSample& codec) {
  return static_cast<double>(sample.sampled_bytes) /
         static_cast<double>(std::max<uint64_t>(codec.coded_bytes, 1));
}

// A base must save this part of the snapshot.
constexpr uint64_t kBaseGain = 20;

uint64_t GainToAsk(const CodecSample& sample) { return GetCodec(sample.codec).gain_to_ask(); }

// The smallest of those that may be used.
const CodecSample* BestOf(const UnitSample& sample, bool with_base) {
  const CodecSample *best = nullptr, *slow = nullptr;
  for (const CodecSample& codec : sample.codecs) {
    if (codec.with_base && !with_base) continue;
    if (GainToAsk(codec) > 0) {
      slow = &codec;
    } else if (best == nullptr || codec.coded_bytes < best->coded_bytes) {
      best = &codec;
    }
  }
  if (slow == nullptr) return best;
  const uint64_t other = best != nullptr ? best->coded_bytes : sample.sampled_bytes;
  return slow->coded_bytes <= other - CeilDiv(other, GainToAsk(*slow)) ? slow : best;
}

bool MayBeUsed(const CodecSample& codec, const CodecSample& best, bool with_base, bool lossy) {
  if (codec.with_base && !with_base) return false;
  return codec.codec == best.codec || (GainToAsk(codec) == 0 && !lossy);
}

// "delta 3.6x, bitmask 1.1x, planes 1.5x", in order of the plan.
std::string Describe(const UnitSample& sample, bool with_base) {
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

UnitPlan PlanUnit(Profile profile, std::span<const TensorInfo* const> tensors,
                  const Leanings& leanings) {
  const Demands demands = DemandsOf(profile, *tensors[0]->role);
  const Accepted accepted = AcceptedBy(profile);
  UnitPlan plan;
  std::vector<CodecId> lossy;
  // The later ones expect more of the data: they come first where two are as good.
  const auto codecs = AllCodecs();
  for (auto entry = codecs.rbegin(); entry != codecs.rend(); ++entry) {
    const Codec* codec = *entry;
    const Loss loss = codec->LossWithin(accepted);
    if (!Fits(*codec, tensors, leanings) || loss > demands.most) continue;
    if (codec->is_quick() || !demands.quick) {
      (loss == Loss::kNone ? plan.codecs : lossy).push_back(codec->id());
    }
  }
  if (!lossy.empty()) {
    plan.lossy = true;
    plan.codecs = {lossy.front()};
    plan.others.assign(lossy.begin() + 1, lossy.end());
  }
  plan.why = WhyOf(profile, plan, tensors.size());
  return plan;
}

uint64_t EstimateBytes(const UnitSample& sample, bool with_base) {
  if (sample.sampled_bytes == 0) return 0;
  const CodecSample* best = BestOf(sample, with_base);
  const uint64_t coded = best != nullptr ? best->coded_bytes : sample.sampled_bytes;
  const double share = static_cast<double>(std::min(coded, sample.sampled_bytes)) /
                       static_cast<double>(sample.sampled_bytes);
  return static_cast<uint64_t>(share * static_cast<double>(sample.unit_bytes));
}

UnitPlan Narrow(UnitPlan plan, const UnitSample& sample, bool with_base) {
  const CodecSample* best = BestOf(sample, with_base);
  if (best == nullptr) return plan;
  // Blocks differ: what comes near the best in the sample may beat it on some of them.
  const uint64_t near = best->coded_bytes + best->coded_bytes / 64;
  std::vector<CodecId> codecs;
  const auto has = [&](CodecId id) { return std::ranges::find(codecs, id) != codecs.end(); };
  for (const CodecSample& codec : sample.codecs) {
    if (!MayBeUsed(codec, *best, with_base, plan.lossy)) continue;
    const bool is_new = !has(codec.codec);
    if (is_new && codec.coded_bytes <= near) codecs.push_back(codec.codec);
  }
  plan.codecs.insert(plan.codecs.end(), plan.others.begin(), plan.others.end());
  plan.others.clear();
  for (CodecId id : plan.codecs) {
    if (!has(id)) plan.others.push_back(id);
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

namespace {

// Bytes of a snapshot of the chain, or of one like it whose base takes `standalone` bytes, if these
// are fewer than its own base's.
double AverageToday(uint64_t standalone, const Chain& chain) {
  const double average = static_cast<double>(chain.bytes) / static_cast<double>(chain.snapshots);
  if (standalone >= chain.base_bytes) return average;
  return average * static_cast<double>(standalone) / static_cast<double>(chain.base_bytes);
}

}  // namespace

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
  if (chain.snapshots > 1 && static_cast<double>(delta) > AverageToday(standalone, chain)) {
    return {false,
            fmt::format("leaning on step {} would save about {:.0f} %, but it is so far that a "
                        "new base pays: {} snapshots of such a chain would be smaller on average",
                        base_step, saved, chain.snapshots)};
  }
  return {true, fmt::format("leaning on step {} saves about {:.0f} %", base_step, saved)};
}

}  // namespace bitsnap
