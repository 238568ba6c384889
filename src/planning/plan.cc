#include "planning/plan.h"

#include <fmt/format.h>

#include "base/try.h"
#include "planning/sample.h"
#include "planning/units.h"

namespace bitsnap {
namespace {

SizeEstimate Estimate(const std::vector<UnitSample>& samples) {
  SizeEstimate estimate;
  for (const UnitSample& sample : samples) {
    estimate.standalone_bytes += EstimateBytes(sample, false);
    estimate.delta_bytes += EstimateBytes(sample, true);
  }
  return estimate;
}

}  // namespace

Result<SavePlan> PlanOnBase(std::span<const TensorView> tensors, const PlanOptions& options,
                            BaseCandidate candidate) {
  UnitMaker maker(tensors, options, &candidate.file);
  BITSNAP_TRY(maker.Make());
  const auto samples = SampleUnits(maker.input(), &candidate.file, options.threads);
  if (!samples) {
    return PlanStandalone(
        tensors, options,
        fmt::format("step {} cannot be leaned on: {}", candidate.step, samples.error().message));
  }
  BaseDecision decision{true, "asked for"};
  if (!candidate.asked_for) {
    decision =
        DecideBase(candidate.step, Estimate(*samples),
                   {candidate.file.file_bytes(), candidate.chain_bytes, candidate.chain_snapshots});
  }
  BITSNAP_TRY(maker.Narrow(*samples, decision.delta));
  SavePlan plan{{}, candidate.step, std::move(decision.why), maker.Take()};
  if (decision.delta) plan.base = std::move(candidate.file);
  return plan;
}

Result<SavePlan> PlanStandalone(std::span<const TensorView> tensors, const PlanOptions& options,
                                std::string why) {
  UnitMaker maker(tensors, options, nullptr);
  BITSNAP_TRY(maker.Make());
  BITSNAP_ASSIGN(const auto samples, SampleUnits(maker.input(), nullptr, options.threads));
  BITSNAP_TRY(maker.Narrow(samples, false));
  return SavePlan{{}, 0, std::move(why), maker.Take()};
}

}  // namespace bitsnap
