// The plain version of the kernels: what they must compute, and the oracle of their tests.
#pragma once

#include "codec/delta/kernel.h"

namespace bitsnap::delta {

size_t FindChangedRef(Bytes symbols, std::span<uint64_t> groups);
void MakeSymbolsRef(DType dtype, Bytes base, Bytes raw, MutableBytes symbols);
void WriteExtrasRef(DType dtype, Bytes base, Bytes raw, Bytes symbols, BitWriter& out);
void ExponentsRef(DType dtype, Bytes base, MutableBytes exponents);
void ClassifyRef(std::span<const uint8_t> bounds, MutableBytes exponents);
void RestoreRef(DType dtype, Bytes base, Bytes symbols, BitReader& extras, MutableBytes out);

}  // namespace bitsnap::delta
