// What the policy decides, and why. Pure: no I/O, no clock, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <bitsnap/options.h>
#include <bitsnap/tensor.h>

#include "codec/plan.h"

namespace bitsnap {

// What a profile lets its codecs lose; nothing for the lossless ones.
Accepted AcceptedBy(Profile profile);

// What can be leaned on when coding a unit.
struct Leanings {
  bool base = false;        // the base holds tensors of these names, dtypes and sizes
  bool coded_base = false;  // and has them as one unit, too
  bool weight = false;      // of a master: its 16-bit weight is in the snapshot
};

// How to code tensors as one unit; of several, no codecs where they had better be units of their
// own. Requires: 1 to kMaxParts tensors, roles present.
UnitPlan PlanUnit(Profile profile, std::span<const TensorInfo* const> tensors,
                  const Leanings& leanings);

// What a codec made of a sample of a unit's blocks.
struct CodecSample {
  CodecId codec;
  bool with_base = false;  // the codec was given the base's blocks
  uint64_t coded_bytes = 0;
};

struct UnitSample {
  uint64_t unit_bytes = 0;     // raw, of all
  uint64_t sampled_bytes = 0;  // raw
  std::vector<CodecSample> codecs;
};

// Coded bytes of the whole unit by the best of the sampled codecs, with or without a base.
uint64_t EstimateBytes(const UnitSample& sample, bool with_base);

// The plan with the codecs that the sample shows to be clearly worse than the best among the
// others, and with what the sample showed as its reason.
UnitPlan Narrow(UnitPlan plan, const UnitSample& sample, bool with_base);

// Estimated coded bytes of a whole snapshot, either way.
struct SizeEstimate {
  uint64_t standalone_bytes = 0;
  uint64_t delta_bytes = 0;
};

// What a base and the deltas that lean on it so far take on disk.
struct Chain {
  uint64_t base_bytes = 0;
  uint64_t bytes = 0;      // of base and deltas
  uint64_t snapshots = 0;  // base and deltas
};

struct BaseDecision {
  bool delta = false;
  std::string why;
};

// Whether to lean on the base of `base_step`. It must save a twentieth, which is what the
// dependency is worth; and the delta must not be larger than a chain's snapshots would be on
// average if it began today, the base included: from then on every further delta would raise that
// average, and a new base lowers it. Today's average is that of this chain, less in proportion
// where a base takes less today than this one took: early in a training snapshots shrink from step
// to step.
BaseDecision DecideBase(uint64_t base_step, const SizeEstimate& estimate, const Chain& chain);

}  // namespace bitsnap
