// Row and column means of log2 v, from a part of the tensor where that is large.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "codec/adam/params.h"

namespace bitsnap::adam {

// The means behind a Params.
struct Means {
  int16_t origin = 0;
  uint32_t row_length = 1;
  uint32_t panel_rows = 0;
  std::vector<int8_t> rows;
  std::vector<int8_t> columns;

  Params View(const Grid& grid) const {
    return {grid, 1, origin, row_length, panel_rows, rows, columns};
  }
};

// One mean for all. `logs` are of LogV, values of `missing` left out.
int16_t MeanLog(std::span<const int16_t> logs, int16_t missing);

// A tensor's v in rows, of which the last may be shorter where there are no columns. Elements whose
// v has no logarithm count as `fallback`, in LogV's units.
class MeansFinder {
 public:
  MeansFinder(Bytes v, uint32_t row_length, int16_t fallback);

  Means Rows() const;
  // With columns too, in panels of so many rows: of what Panels lists.
  Means RowsAndColumns(uint32_t panel_rows);

  // Whether params of a tensor as large have as many means of the same elements.
  bool HasShapeOf(const Params& params) const;
  // The base's means, but where a row or column has moved otherwise than `origin` has.
  // Requires: HasShapeOf(base), which has means.
  Means Followed(const Params& base, int16_t origin);

  struct Panel {
    uint32_t rows;
    double explained;  // variance of log2 v that these panels explain beyond one panel
  };
  // The first holds all rows.
  std::vector<Panel> Panels();

 private:
  // Sums of logarithms by panel and column, and how many rows of the panel they are of.
  struct Sums {
    std::vector<int64_t> sums;
    std::vector<int64_t> counts;
  };

  void SumColumns();
  // So many of the finest panels made one.
  Sums Merge(size_t panels) const;
  std::vector<double> Profile(const Sums& panels, size_t panel) const;
  uint32_t PanelHeight() const;
  // Those of `means` so far left out; close to the base's, if that is not empty.
  void FindColumns(Means& means, std::span<const int8_t> base);
  void FindRows(Means& means, std::span<const int8_t> base) const;

  Bytes v_;
  uint32_t row_length_;
  uint32_t rows_;
  int16_t fallback_;
  // The finest panels: `height_` rows each.
  uint32_t height_ = 0;
  std::vector<int32_t> sums_;
  std::vector<int32_t> counts_;
};

}  // namespace bitsnap::adam
