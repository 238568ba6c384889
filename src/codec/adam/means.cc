#include "codec/adam/means.h"

#include <algorithm>
#include <array>

namespace bitsnap::adam {
namespace {

// What an average is taken of is at most about this many values: its error is then far below the
// spread of what it predicts.
constexpr size_t kEnough = 512;
constexpr size_t kRun = 64;

constexpr int64_t kLogsPerMean = kLogUnit / kMeanUnit;

int64_t RoundedDivide(int64_t sum, int64_t count) {
  const int64_t half = count / 2;
  return sum >= 0 ? (sum + half) / count : -((-sum + half) / count);
}

int8_t ToMean(int64_t sum, int64_t count) {
  return static_cast<int8_t>(
      std::clamp<int64_t>(RoundedDivide(sum, count * kLogsPerMean), -127, 127));
}

Bytes Floats(Bytes bytes, size_t first, size_t count) {
  return bytes.subspan(first * sizeof(float), count * sizeof(float));
}

// Sums of logarithms of whole rows, by column; every `stride`th row.
std::vector<int64_t> SumColumns(Bytes v, size_t row_length, size_t rows, size_t stride,
                                int16_t fallback) {
  std::vector<int64_t> sums(row_length);
  std::vector<int16_t> logs(row_length);
  for (size_t row = 0; row < rows; row += stride) {
    LogV(Floats(v, row * row_length, row_length), fallback, logs);
    for (size_t i = 0; i < row_length; ++i) sums[i] += logs[i];
  }
  return sums;
}

// The mean of one row's logarithms beyond `origin` and its columns' means.
int8_t RowMean(Bytes row, int origin, std::span<const int8_t> columns, int16_t fallback) {
  const size_t length = row.size() / sizeof(float);
  const size_t stride = std::max(kRun, length / (kEnough / kRun));
  std::array<int16_t, kRun> logs;
  int64_t sum = 0, count = 0;
  for (size_t first = 0; first < length; first += stride) {
    const size_t run = std::min(kRun, length - first);
    LogV(Floats(row, first, run), fallback, std::span(logs).first(run));
    for (size_t i = 0; i < run; ++i) sum += logs[i];
    if (columns.empty()) {
      count += run;
      continue;
    }
    for (size_t i = 0; i < run; ++i) sum -= columns[first + i] * kLogsPerMean;
    count += run;
  }
  return ToMean(sum - count * origin * kLogsPerMean, count);
}

}  // namespace

int16_t MeanLog(std::span<const int16_t> logs, int16_t missing) {
  int64_t sum = 0, count = 0;
  for (int16_t log : logs) {
    if (log == missing) continue;
    sum += log;
    ++count;
  }
  return static_cast<int16_t>(count == 0 ? 0 : RoundedDivide(sum, count));
}

Means RowMeans(Bytes v, uint32_t row_length, bool with_columns, int16_t fallback) {
  const size_t elements = v.size() / sizeof(float);
  const size_t rows = (elements + row_length - 1) / row_length;
  Means means;
  means.row_length = row_length;
  means.origin = static_cast<int16_t>(RoundedDivide(fallback, kLogsPerMean));
  if (with_columns) {
    const size_t whole_rows = elements / row_length;
    const size_t stride = std::max<size_t>(1, whole_rows / kEnough);
    const auto summed = static_cast<int64_t>((whole_rows + stride - 1) / stride);
    const auto sums = SumColumns(v, row_length, whole_rows, stride, fallback);
    means.columns.resize(row_length);
    for (size_t i = 0; i < row_length; ++i) {
      const int64_t rest = sums[i] - summed * means.origin * kLogsPerMean;
      means.columns[i] = ToMean(rest, summed);
    }
  }
  means.rows.resize(rows);
  for (size_t row = 0; row < rows; ++row) {
    const size_t first = row * row_length;
    const size_t length = std::min<size_t>(row_length, elements - first);
    means.rows[row] = RowMean(Floats(v, first, length), means.origin, means.columns, fallback);
  }
  return means;
}

}  // namespace bitsnap::adam
