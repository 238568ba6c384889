// Which means of log2 v pay for the bytes that they take.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "codec/adam/means.h"
#include "codec/adam/sample.h"

namespace bitsnap::adam {

// The means for a tensor whose last dimension is `row_words` and whose log2 v goes to a grid of
// about `v_step`. Leaves the anchors of its choice in the sample, which is of the same tensor.
Means ChooseMeans(Bytes v, uint64_t row_words, double v_step, Sample& sample);

}  // namespace bitsnap::adam
