#include "codec/adam/means.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/checked.h"

namespace bitsnap::adam {
namespace {

// What an average is taken of is at most about this many values: its error is then far below the
// spread of what it predicts.
constexpr size_t kEnough = 64;
constexpr size_t kRun = 32;

constexpr uint32_t kMinPanel = 64;
constexpr uint64_t kMaxSums = 1 << 20;

constexpr int64_t kLogsPerMean = kLogUnit / kMeanUnit;

int64_t RoundedDivide(int64_t sum, int64_t count) {
  const int64_t half = count / 2;
  return sum >= 0 ? (sum + half) / count : -((-sum + half) / count);
}

// Of logarithms beyond what else predicts them.
struct Sum {
  int64_t sum = 0;
  int64_t count = 0;
};

int8_t ToMean(const Sum& logs) {
  return static_cast<int8_t>(
      std::clamp<int64_t>(RoundedDivide(logs.sum, logs.count * kLogsPerMean), -127, 127));
}

// The base's mean, unless it is more than 7/8 of a unit off: where all of a row moves less than
// that, the base's indices tell the new ones better than a mean that was rounded the other way.
int8_t Follow(const Sum& logs, int8_t base) {
  const int64_t off = std::abs(logs.sum - logs.count * kLogsPerMean * base);
  return 8 * off <= 7 * logs.count * kLogsPerMean ? base : ToMean(logs);
}

Bytes Floats(Bytes bytes, size_t first, size_t count) {
  return bytes.subspan(first * sizeof(float), count * sizeof(float));
}

// Of a part of one row's logarithms beyond `origin` and its columns' means.
Sum SumRow(Bytes row, int origin, std::span<const int8_t> columns, int16_t fallback) {
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
  return {sum - count * origin * kLogsPerMean, count};
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

MeansFinder::MeansFinder(Bytes v, uint32_t row_length, int16_t fallback)
    : v_(v),
      row_length_(row_length),
      rows_(static_cast<uint32_t>(CeilDiv(v.size() / sizeof(float), row_length))),
      fallback_(fallback) {}

void MeansFinder::FindRows(Means& means, std::span<const int8_t> base) const {
  const size_t elements = v_.size() / sizeof(float);
  means.rows.resize(rows_);
  for (size_t row = 0; row < rows_; ++row) {
    const size_t first = row * row_length_;
    const size_t length = std::min<size_t>(row_length_, elements - first);
    std::span<const int8_t> columns = means.columns;
    if (means.panel_rows > 0) {
      columns = columns.subspan(row / means.panel_rows * row_length_, row_length_);
    }
    const Sum logs = SumRow(Floats(v_, first, length), means.origin, columns, fallback_);
    means.rows[row] = base.empty() ? ToMean(logs) : Follow(logs, base[row]);
  }
}

Means MeansFinder::Rows() const {
  Means means;
  means.row_length = row_length_;
  means.origin = static_cast<int16_t>(RoundedDivide(fallback_, kLogsPerMean));
  FindRows(means, {});
  return means;
}

void MeansFinder::SumColumns() {
  height_ = PanelHeight();
  const size_t panels = CeilDiv(rows_, height_);
  sums_.resize(panels * row_length_);
  counts_.resize(panels);
  std::vector<int16_t> logs(row_length_);
  const size_t stride = std::clamp<size_t>(rows_ / kEnough, 1, kMinPanel / 16);
  for (size_t row = 0; row < rows_; row += stride) {
    LogV(Floats(v_, row * row_length_, row_length_), fallback_, logs);
    int32_t* sums = &sums_[row / height_ * row_length_];
    for (size_t i = 0; i < row_length_; ++i) sums[i] += logs[i];
    ++counts_[row / height_];
  }
}

MeansFinder::Sums MeansFinder::Merge(size_t panels) const {
  const size_t count = CeilDiv(counts_.size(), panels);
  Sums merged{std::vector<int64_t>(count * row_length_), std::vector<int64_t>(count)};
  for (size_t p = 0; p < counts_.size(); ++p) {
    const int32_t* from = &sums_[p * row_length_];
    int64_t* to = &merged.sums[p / panels * row_length_];
    for (size_t i = 0; i < row_length_; ++i) to[i] += from[i];
    merged.counts[p / panels] += counts_[p];
  }
  return merged;
}

void MeansFinder::FindColumns(Means& means, std::span<const int8_t> base) {
  if (sums_.empty()) SumColumns();
  const Sums panels = Merge(CeilDiv(means.panel_rows, height_));
  for (size_t at = 0; at < panels.sums.size(); ++at) {
    const int64_t count = panels.counts[at / row_length_];
    const Sum logs{panels.sums[at] - count * means.origin * kLogsPerMean, count};
    means.columns.push_back(base.empty() ? ToMean(logs) : Follow(logs, base[at]));
  }
}

Means MeansFinder::RowsAndColumns(uint32_t panel_rows) {
  Means means;
  means.row_length = row_length_;
  means.panel_rows = panel_rows;
  means.origin = static_cast<int16_t>(RoundedDivide(fallback_, kLogsPerMean));
  FindColumns(means, {});
  FindRows(means, {});
  return means;
}

bool MeansFinder::HasShapeOf(const Params& params) const {
  if (params.row_length != row_length_ || params.rows.size() != rows_) return false;
  if (params.panel_rows == 0) return true;
  const bool whole_rows = v_.size() / sizeof(float) % row_length_ == 0;
  return whole_rows && (params.panel_rows >= rows_ || params.panel_rows % PanelHeight() == 0);
}

Means MeansFinder::Followed(const Params& base, int16_t origin) {
  Means means;
  means.origin = origin;
  means.row_length = row_length_;
  means.panel_rows = base.panel_rows;
  if (means.panel_rows > 0) FindColumns(means, base.columns);
  FindRows(means, base.rows);
  return means;
}

uint32_t MeansFinder::PanelHeight() const {
  uint32_t height = kMinPanel;
  while (height < rows_ && CeilDiv(rows_, height) * row_length_ > kMaxSums) height *= 2;
  return height;
}

// A panel's means of its columns less its own mean, in units of log2 v.
std::vector<double> MeansFinder::Profile(const Sums& panels, size_t panel) const {
  std::vector<double> profile(row_length_);
  const double unit = 1.0 / (static_cast<double>(panels.counts[panel]) * kLogUnit);
  double mean = 0;
  for (size_t i = 0; i < row_length_; ++i) {
    profile[i] = static_cast<double>(panels.sums[panel * row_length_ + i]) * unit;
    mean += profile[i] / row_length_;
  }
  for (double& value : profile) value -= mean;
  return profile;
}

std::vector<MeansFinder::Panel> MeansFinder::Panels() {
  if (sums_.empty()) SumColumns();
  std::vector<Panel> result = {{rows_, 0}};
  const std::vector<double> whole = Profile(Merge(counts_.size()), 0);
  for (size_t merged = counts_.size(); merged > 1;) {
    merged = (merged + 1) / 2;
    const Sums panels = Merge(merged);
    // Two-way analysis of variance: how far the panels' profiles are from that of all rows.
    double explained = 0;
    for (size_t panel = 0; panel < panels.counts.size(); ++panel) {
      const std::vector<double> profile = Profile(panels, panel);
      for (size_t i = 0; i < row_length_; ++i) {
        explained += (profile[i] - whole[i]) * (profile[i] - whole[i]);
      }
    }
    result.push_back({static_cast<uint32_t>(merged * height_),
                      explained / static_cast<double>(panels.sums.size())});
  }
  return result;
}

}  // namespace bitsnap::adam
