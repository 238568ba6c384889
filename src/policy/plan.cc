#include "policy/plan.h"

#include <fmt/format.h>

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
  const double standalone = static_cast<double>(estimate.standalone_bytes);
  const double delta = static_cast<double>(estimate.delta_bytes);
  const double saving = standalone > 0 ? 1 - delta / standalone : 0;
  if (saving >= 0.1) {
    return {true, fmt::format("a delta to step {} is {:.0f} % smaller than standing alone "
                              "(sampled)",
                              base_step, 100 * saving)};
  }
  return {false, fmt::format("stands alone: a delta to step {} would save {:.0f} % (sampled), less "
                             "than a tenth",
                             base_step, 100 * saving)};
}

}  // namespace bitsnap
