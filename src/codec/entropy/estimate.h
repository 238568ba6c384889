// How small order-0 coding would make a plane, from a sample of it.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace bitsnap {

using Counts = std::array<uint32_t, 256>;  // indexed by symbol

// Counts all of `plane`.
Counts CountSymbols(Bytes plane);

// Counts 16 KiB of `plane`, in short runs spread evenly, or all if it has no more.
Counts SampleSymbols(Bytes plane);

// Roughly the bytes that rANS needs for `symbols` symbols of which `sample` is a sample, its tables
// included. Integer arithmetic, since an encoder that went by floating point could choose
// differently on another machine. Requires: some count is not 0.
size_t EstimateCodedBytes(const Counts& sample, size_t symbols);

}  // namespace bitsnap
