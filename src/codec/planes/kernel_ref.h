// The plain version of the kernels: what they must compute, and the oracle of their tests.
#pragma once

#include "codec/planes/kernel.h"

namespace bitsnap::planes {

void SplitRef(size_t word_bytes, bool rotate, Bytes raw, const MutablePlanePointers& planes);
void MergeRef(size_t word_bytes, bool rotated, const PlanePointers& planes, MutableBytes out);

}  // namespace bitsnap::planes
