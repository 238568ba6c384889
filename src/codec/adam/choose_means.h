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

// The base's means, all moved as far as most of the sample's log2 v have, those of single rows and
// columns only where they went elsewhere: how far a log2 v is from its anchor, the base's index
// tells then. Leaves their anchors in the sample, which is of the same tensor.
Means FollowMeans(Bytes v, const Params& base, Sample& sample);

}  // namespace bitsnap::adam
