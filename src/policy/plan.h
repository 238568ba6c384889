// What the policy decides, and why. Pure: no I/O, no clock, no state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <bitsnap/options.h>
#include <bitsnap/tensor.h>

#include "codec/codec.h"

namespace bitsnap {

struct TensorPlan {
  // Tried on each block, the smallest result wins; raw where none makes the block smaller. At most
  // one of them is lossy, and it is then alone.
  std::vector<CodecId> codecs;
  std::string why;
};

// How to code a tensor. `has_base`: the base holds a tensor of this name, dtype and size.
// Requires: info.role present.
TensorPlan PlanTensor(Profile profile, const TensorInfo& info, bool has_base);

// Estimated coded bytes of a whole snapshot, either way.
struct SizeEstimate {
  uint64_t standalone_bytes = 0;
  uint64_t delta_bytes = 0;
};

struct BaseDecision {
  bool delta = false;
  std::string why;
};

// Whether leaning on the base of `base_step` pays for the dependency: it must save a tenth.
BaseDecision DecideBase(uint64_t base_step, const SizeEstimate& estimate);

}  // namespace bitsnap
