// What the policy decides, and why. Pure: no I/O, no clock, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <bitsnap/options.h>
#include <bitsnap/tensor.h>

#include "codec/codec.h"

namespace bitsnap {

// What a profile lets its codecs lose; nothing for the lossless ones.
Accepted AcceptedBy(Profile profile);

struct TensorPlan {
  // Tried on each block, the smallest result wins; raw where none makes the block smaller. One that
  // may lose something is alone.
  std::vector<CodecId> codecs;
  std::string why;
  // Tried too on blocks that come out larger than a sample of the tensor promised: `coded_bytes` of
  // `sampled_bytes`. Where codecs may lose something: on blocks that do not suit the first.
  std::vector<CodecId> others = {};
  uint64_t sampled_bytes = 0, coded_bytes = 0;
};

// What can be leaned on when coding a tensor.
struct Leanings {
  bool base = false;    // the base holds a tensor of this name, dtype and size
  bool weight = false;  // of a master: its 16-bit weight is in the snapshot
};

bool Has(std::span<const CodecId> codecs, CodecId id);

// The form in which codecs of the plan are given the base's block: in one of both at most.
BaseForm BaseFormOf(const TensorPlan& plan);
bool LeansOnBase(const TensorPlan& plan);

// How to code a tensor by itself. Requires: info.role present.
TensorPlan PlanTensor(Profile profile, const TensorInfo& info, const Leanings& leanings);

// How to code Adam's two moments together, with the base's indices or without; nullopt where the
// profile keeps them apart.
std::optional<TensorPlan> PlanMoments(Profile profile, bool on_indices);

// What a codec made of a sample of a tensor's blocks.
struct CodecSample {
  CodecId codec = CodecId::kRaw;
  bool with_base = false;  // the codec was given the base's blocks
  uint64_t coded_bytes = 0;
};

struct TensorSample {
  uint64_t tensor_bytes = 0;   // of the whole tensor, or of both of a pair
  uint64_t sampled_bytes = 0;  // raw
  std::vector<CodecSample> codecs;
};

// Coded bytes of the whole tensor by the best of the sampled codecs, with or without a base.
uint64_t EstimateBytes(const TensorSample& sample, bool with_base);

// The plan with the codecs that the sample shows to be clearly worse than the best among the
// others, and with what the sample showed as its reason.
TensorPlan Narrow(TensorPlan plan, const TensorSample& sample, bool with_base);

// Estimated coded bytes of a whole snapshot, either way.
struct SizeEstimate {
  uint64_t standalone_bytes = 0;
  uint64_t delta_bytes = 0;
};

// What a base and the deltas that lean on it so far take on disk.
struct Chain {
  uint64_t bytes = 0;
  uint64_t snapshots = 0;
};

struct BaseDecision {
  bool delta = false;
  std::string why;
};

// Whether to lean on the base of `base_step`. It must save a twentieth, which is what the
// dependency is worth; and the delta must not be larger than the chain's snapshots are on average,
// the base included: from then on every further delta would raise that average, and a new base
// lowers it.
BaseDecision DecideBase(uint64_t base_step, const SizeEstimate& estimate, const Chain& chain);

}  // namespace bitsnap
