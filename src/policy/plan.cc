#include "policy/plan.h"

#include <fmt/format.h>

#include "base/checked.h"

namespace bitsnap {
namespace {

bool IsOptimizerState(Role role) {
  return role == Role::kMaster || role == Role::kExpAvg || role == Role::kExpAvgSq;
}

TensorPlan PlanExact(bool has_base) {
  if (has_base) {
    return {{CodecId::kBitmask, CodecId::kPlanes},
            "lossless: bitmask or planes, whichever is smaller"};
  }
  return {{CodecId::kPlanes}, "lossless without a base: planes"};
}

TensorPlan PlanFast(bool has_base) {
  if (has_base) return {{CodecId::kBitmask}, "fast: what changed since the base"};
  return {{}, "fast without a base: raw"};
}

TensorPlan PlanPaper(const TensorInfo& info, bool has_base) {
  if (info.dtype == DType::kF32 && IsOptimizerState(*info.role)) {
    return {{CodecId::kCluster}, "paper: cluster quantization of fp32 optimizer state, lossy"};
  }
  if (has_base) return {{CodecId::kBitmask}, "paper: packed bitmask of what changed"};
  return {{}, "paper without a base: raw"};
}

}  // namespace

TensorPlan PlanTensor(Profile profile, const TensorInfo& info, bool has_base) {
  switch (profile) {
    case Profile::kExact:
      return PlanExact(has_base);
    case Profile::kFast:
      return PlanFast(has_base);
    case Profile::kPaper:
      return PlanPaper(info, has_base);
  }
  return {{}, "unknown profile: raw"};
}

BaseDecision DecideBase(uint64_t base_step, const SizeEstimate& estimate) {
  const uint64_t standalone = estimate.standalone_bytes;
  const uint64_t delta = estimate.delta_bytes;
  const double saved =
      standalone > 0 ? 100 - 100 * static_cast<double>(delta) / static_cast<double>(standalone) : 0;
  if (standalone > 0 && delta <= standalone - CeilDiv(standalone, 10)) {
    return {true, fmt::format("leaning on step {} saves about {:.0f} %", base_step, saved)};
  }
  return {false, fmt::format("leaning on step {} would save about {:.0f} %, less than a tenth",
                             base_step, saved)};
}

}  // namespace bitsnap
