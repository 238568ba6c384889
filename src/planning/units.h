// The units of a save and their plans, before and after their samples are known.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipeline/unit.h"
#include "planning/plan.h"
#include "policy/plan.h"
#include "policy/relations.h"

namespace bitsnap {

class UnitMaker {
 public:
  // `base` may be null, and must outlive the maker.
  UnitMaker(std::span<const TensorView> tensors, const PlanOptions& options,
            const SnapshotReader* base);

  // Units with all codecs that the profile and the base allow. The moments of a parameter are one
  // where their codec can keep the profile's bound, in the base's indices where the base has them
  // as one, too. Prepares in parallel.
  Result<void> Make();

  // Keeps of each plan what its sample recommends. Units that were to lean on the base's coded
  // blocks, and are not to any more, are prepared anew.
  Result<void> Narrow(std::span<const UnitSample> samples, bool with_base);

  const EncodeInput& input() const { return *input_; }
  std::shared_ptr<const EncodeInput> Take() { return std::move(input_); }

 private:
  // The base's tensors of these names, dtypes and sizes; empty unless it has them all.
  std::vector<uint32_t> FindInBase(std::span<const uint32_t> tensors) const;
  // Of a unit whose base_tensors are set; empty where the base has no such unit.
  Bytes ParamsInBase(const Unit& unit) const;

  // With a plan, not prepared; no codecs in it where the tensors had better be units of their own.
  Unit Planned(Profile profile, std::vector<uint32_t> tensors, std::vector<uint32_t> base_tensors,
               std::optional<uint32_t> weight = {}) const;
  Unit Single(uint32_t tensor) const;
  // Leaves in the plan what can serve the unit. False, and the unit is as it was, where it was to
  // lose something and none can serve it.
  bool Prepare(Unit& unit) const;
  // Prepares units in parallel; returns which of them are served.
  Result<std::vector<bool>> PrepareAll(std::span<Unit* const> units) const;

  Result<void> AddMoments();
  // A copy of a tensor that loses something has not agreed to lose it too: it is coded for itself,
  // unless all tensors of a unit are copied so.
  void SeparateFromLossy();

  const PlanOptions options_;
  const SnapshotReader* const base_;
  std::unordered_map<std::string_view, uint32_t> base_by_name_;
  std::shared_ptr<EncodeInput> input_;
  std::vector<Relations> relations_;  // of each tensor
};

}  // namespace bitsnap
