// Row and column means of log2 v, from a part of the tensor where that is large.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "codec/adam/params.h"

namespace bitsnap::adam {

struct Means {
  int16_t origin = 0;
  uint32_t row_length = 1;
  std::vector<int8_t> rows;
  std::vector<int8_t> columns;
};

// One mean for all. `logs` are of LogV, values of `missing` left out.
int16_t MeanLog(std::span<const int16_t> logs, int16_t missing);

// Means of rows of `row_length` elements, the last of which may be shorter, and of columns if told.
// Elements whose v has no logarithm count as `fallback`, in LogV's units.
Means RowMeans(Bytes v, uint32_t row_length, bool with_columns, int16_t fallback);

}  // namespace bitsnap::adam
