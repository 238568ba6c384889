// The plain version of the kernels: what they must compute, and the oracle of their tests.
#pragma once

#include "codec/adam/kernel.h"
#include "codec/adam/kernel_residual.h"

namespace bitsnap::adam {

UpdateSums QuantizeRef(Bytes v, Bytes m, std::span<const float> anchors, const Grid& grid,
                       Stretch stretch, const Quantized& out);
void ReconstructVRef(std::span<const int16_t> kv, std::span<const float> anchors, const Grid& grid,
                     MutableBytes v, std::span<float> denominators);
void ReconstructMRef(std::span<const int16_t> kv, std::span<const int16_t> ku,
                     std::span<const float> denominators, const Grid& grid, MutableBytes m);
void IndexVRef(Bytes v, std::span<const float> anchors, const Grid& grid, std::span<int16_t> kv);
void IndexMRef(Bytes m, std::span<const float> denominators, const Grid& grid,
               std::span<int16_t> ku);
void AddColumnsRef(int mean, std::span<const int8_t> columns, std::span<float> anchors);
void LogVRef(Bytes v, int16_t otherwise, std::span<int16_t> logs);
UpdateSums MeasureErrorRef(Bytes v, Bytes m, std::span<const float> anchors, const Grid& grid,
                           Stretch stretch);

void SplitRef(std::span<int16_t> indices, std::span<const int16_t> base, Prediction prediction,
              int shift, uint8_t zero_symbol, size_t elements, Half half,
              std::span<uint8_t> symbols, MutableBytes planes);
void JoinRef(std::span<const uint8_t> symbols, const PlanesView& planes,
             std::span<const int16_t> base, Prediction prediction, int shift, size_t elements,
             Half half, std::span<int16_t> indices);

}  // namespace bitsnap::adam
