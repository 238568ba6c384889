// What all blocks of a pair share: the grids, and what row and column means predict of log2 v. Made
// by Prepare, stored once a tensor.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "codec/adam/kernel.h"

namespace bitsnap::adam {

// A view: the means belong to whoever made them. Element i stands in row i / row_length and column
// i % row_length; its anchor is the sum of `origin`, its row's mean and its column's, as far as
// there are any. Columns have means of their own in each panel of so many rows: the heads of an
// attention matrix differ.
struct Params {
  Grid grid = {};
  Stretch stretch = 1;  // the encoder's, not stored
  int16_t origin = 0;
  uint32_t row_length = 1;
  uint32_t panel_rows = 0;  // 0: no columns
  std::span<const int8_t> rows;
  std::span<const int8_t> columns;  // row_length for each panel, of which the last may be shorter
};

// The exponent of any normal number, in kMeanUnit.
inline constexpr int kMaxOrigin = 126 * kMeanUnit;

std::vector<std::byte> WriteParams(const Params& params);

// Null when `bytes`, of any origin, are malformed; a view of them otherwise.
std::optional<Params> ReadParams(Bytes bytes);

// Whether elements up to `end` have their means. Requires of FillAnchors' range.
bool Covers(const Params& params, uint64_t end);

// The anchors of elements first, first + 1, …
void FillAnchors(const Params& params, uint64_t first, std::span<float> anchors);

}  // namespace bitsnap::adam
