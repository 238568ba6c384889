// The plain version of the kernels: what they must compute, and the oracle of their tests.
#pragma once

#include "base/bytes.h"

namespace bitsnap::bitmask {

size_t PackChangedRef(size_t word_bytes, Bytes base, Bytes raw, size_t max_changed,
                      MutableBytes out);
size_t CountBitsRef(Bytes mask);
void UnpackChangedRef(size_t word_bytes, Bytes base, Bytes mask, Bytes values, MutableBytes out);

}  // namespace bitsnap::bitmask
