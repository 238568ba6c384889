// The loops of codec `adam` over the pairs of a block: v (exp_avg_sq) and m (exp_avg) to grid
// indices and back. Only IEEE operations in a fixed order, so that every CPU and SIMD target
// computes the same bits; no denormal number steers a result, so that neither does a thread's
// flush-to-zero mode.
//
//   log2 v ~ anchor + kv * v_step          anchor: what the tensor's row and column means predict
//   u = m / (sqrt(v^) + eps) ~ ku * u_step  v^: the v that is decoded
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "codec/update_sums.h"

namespace bitsnap::adam {

// Both grids of a tensor, and Adam's eps.
// Requires: the steps are positive and normal, and so are their inverses; eps >= 0 and finite.
struct Grid {
  float v_step;
  float u_step;
  float eps;
};

// On a coarse grid most indices are 0: places up to this far from 0 get it, which saves more bits
// than the error that it costs. And what is lost no longer evens out: see Stretch.
inline bool IsCoarse(const Grid& grid) { return grid.v_step >= 1; }
inline float ZoneOfV(const Grid& grid) { return IsCoarse(grid) ? 0.6f : 0.5f; }
inline float ZoneOfU(const Grid& grid) { return IsCoarse(grid) ? 0.55f : 0.5f; }

// What the encoder multiplies u by before it is rounded, so that u^ is as long along u as u is,
// <u, u^> = <u, u>. Of no concern to the decoder.
using Stretch = float;
inline constexpr Stretch kMinStretch = 0.75f, kMaxStretch = 1.25f;

// Indices are at most this far from 0.
inline constexpr int kMaxIndex = 8191;
// Not indices: the pair is stored as it is; v and m are both +0.
inline constexpr int16_t kEscape = -32768;
inline constexpr int16_t kZero = -32767;

// A larger |u| is hardly an Adam update (with betas of 0.9 and 0.999 it stays below 3.2) but
// uninitialised memory, or m huge where v is tiny: escaped, so that it sets no scale for the rest.
inline constexpr float kMaxUpdate = 4;
inline float MaxUpdateIndex(const Grid& grid) {
  return std::min(static_cast<float>(kMaxIndex), kMaxUpdate * (1.0f / grid.u_step));
}

// Whether m^ of an index other than 0 can be flushed to 0: not where eps keeps it larger.
inline bool MayFlush(const Grid& grid) { return !(grid.u_step * grid.eps >= 0x1p-120f); }

// v and m below are n floats, little-endian, at any alignment; all other spans hold n elements.

// What becomes of n pairs; all but the indices may be empty, if nobody asks for them.
struct Quantized {
  std::span<int16_t> kv, ku;           // kv is kEscape or kZero, and ku kZero, where there is none
  std::span<float> denominators = {};  // as the decoder will have them, where there are indices
  MutableBytes v = {}, m = {};  // as ReconstructV and ReconstructM will give them; both or none
};

// Returns what MeasureError would if `out` has room for v and m, else nothing. Requires: as
// MeasureError.
UpdateSums Quantize(Bytes v, Bytes m, std::span<const float> anchors, const Grid& grid,
                    Stretch stretch, const Quantized& out);

// v^ (0 where kv is no index) and sqrt(v^) + eps.
void ReconstructV(std::span<const int16_t> kv, std::span<const float> anchors, const Grid& grid,
                  MutableBytes v, std::span<float> denominators);

// m^ = ku * u_step * denominator; +0 where that is nearly denormal and where kv is no index.
void ReconstructM(std::span<const int16_t> kv, std::span<const int16_t> ku,
                  std::span<const float> denominators, const Grid& grid, MutableBytes m);

// Where the base's v or m would lie on the grids, rounded to the nearest: 0 where it has no index.
void IndexV(Bytes v, std::span<const float> anchors, const Grid& grid, std::span<int16_t> kv);
void IndexM(Bytes m, std::span<const float> denominators, const Grid& grid, std::span<int16_t> ku);

// Means are stored in units of 1/kMeanUnit of log2 v.
inline constexpr int kMeanUnit = 8;

// Anchors: `mean` plus the columns' means, of which there are as many or none.
void AddColumns(int mean, std::span<const int8_t> columns, std::span<float> anchors);

// log2 of v in units of 1/kLogUnit, `otherwise` where v is not a normal number. Linear between
// powers of two, and so up to 0.06 off, which is near enough for means and much quicker than Log2.
inline constexpr int kLogUnitBits = 6;
inline constexpr int kLogUnit = 1 << kLogUnitBits;
void LogV(Bytes v, int16_t otherwise, std::span<int16_t> logs);

// What Quantize loses, in units of u_step^2, m that is flushed to 0 included: element i is added to
// sum i % 16; then the 16 sums in order.
// Requires: at most 2^16 pairs, or the sums lose precision.
UpdateSums MeasureError(Bytes v, Bytes m, std::span<const float> anchors, const Grid& grid,
                        Stretch stretch);

}  // namespace bitsnap::adam
