// Chooses the grids of a pair of tensors, and what predicts their v, before any block is coded.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "codec/adam/params.h"

namespace bitsnap::adam {

struct AdamTensor {
  Bytes v;  // all of exp_avg_sq, fp32
  Bytes m;  // all of exp_avg, as long
  uint64_t row_words = 0;
};

struct Choice {
  std::vector<std::byte> params;
  Stretch stretch;  // for the encoder
};

// The params that code the pair in the fewest bits, by estimate, while the relative error of Adam's
// update, ||u - u^|| / ||u||, stays within `bound`; it is measured with the encoder's own kernels,
// on a sample of a large tensor: the encoder must look whether it came out so. Pairs that the
// encoder escapes count on neither side. Nullopt when the bound cannot be kept or lossy coding
// would not pay. The same on every CPU.
std::optional<Choice> Prepare(const AdamTensor& tensor, double bound, double eps);

// The same where the pair leans on a base's indices: with the base's grid of v and means that
// follow the base's. Nullopt, too, where that grid does not suit the bound. Requires:
// Covers(base, the tensor's end).
std::optional<Choice> PrepareOnBase(const AdamTensor& tensor, const Params& base, double bound,
                                    double eps);

}  // namespace bitsnap::adam
