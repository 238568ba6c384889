// Which codecs are tried on the blocks of a unit. The policy decides, the pipeline does it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "codec/codec.h"

namespace bitsnap {

struct UnitPlan {
  // Tried on each block; the smallest result wins, or raw where none makes the block smaller.
  std::vector<CodecId> codecs;
  std::string why;
  // Tried too on blocks that come out larger than a sample of the unit promised: `coded_bytes` of
  // `sampled_bytes`. Of a lossy plan: on blocks that do not suit the first.
  std::vector<CodecId> others = {};
  // Its codecs may lose something. `codecs` is then one, and the first of `others` that a block
  // suits is taken, whatever the size.
  bool lossy = false;
  uint64_t sampled_bytes = 0, coded_bytes = 0;
};

// The form in which codecs of the plan are given the base's block: in one of both at most.
inline BaseForm BaseFormOf(const UnitPlan& plan) {
  for (CodecId id : plan.codecs) {
    const BaseForm form = GetCodec(id).base_form();
    if (form != BaseForm::kNone) return form;
  }
  return BaseForm::kNone;
}

}  // namespace bitsnap
