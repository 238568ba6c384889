#include "codec/adam/choose_means.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/checked.h"
#include "codec/adam/math.h"

namespace bitsnap::adam {
namespace {

// Rows of a tensor that has none: neighbours are alike there too.
constexpr uint32_t kFlatRow = 256;
constexpr uint64_t kMinRow = 16;

// Mean distance of the logarithms from their anchors, in units of log2 v.
double Spread(const Sample& sample) {
  double sum = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    if (sample.logs()[i] == Sample::kNoLog) continue;
    const float log = static_cast<float>(sample.logs()[i]) * (1.0f / kLogUnit);
    sum += std::abs(log - sample.anchors()[i]);
  }
  return sum / static_cast<double>(sample.size());
}

double Variance(const Sample& sample) {
  double sum = 0, count = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    if (sample.logs()[i] == Sample::kNoLog) continue;
    const float log = static_cast<float>(sample.logs()[i]) * (1.0f / kLogUnit);
    const double distance = log - sample.anchors()[i];
    sum += distance * distance;
    ++count;
  }
  return count > 0 ? sum / count : 0;
}

// Rows of columns: with one mean for each column, or several where they differ from panel to panel
// by more than that costs. Leaves its anchors in the sample.
Means ChooseColumns(MeansFinder& finder, uint64_t elements, uint64_t row_length, Sample& sample) {
  const auto panels = finder.Panels();
  Means means = finder.RowsAndColumns(panels.front().rows);
  sample.SetAnchors(means.View({}));
  const double variance = Variance(sample);
  uint32_t best = panels.front().rows;
  double most = 0;
  for (const auto& panel : panels) {
    const double left = std::max(variance - panel.explained, variance / 16);
    const double saved = Log2(static_cast<float>(variance / left)) / 2;
    const auto count = static_cast<double>(CeilDiv(panels.front().rows, panel.rows) - 1);
    const double gain =
        saved * static_cast<double>(elements) - 8 * count * static_cast<double>(row_length);
    if (!(gain > most)) continue;
    most = gain;
    best = panel.rows;
  }
  if (best == panels.front().rows) return means;
  means = finder.RowsAndColumns(best);
  sample.SetAnchors(means.View({}));
  return means;
}

// The median distance of the logarithms from their anchors, in units of the means; 0 up to 7/8 of
// one, as in MeansFinder::Followed.
int MedianMove(const Sample& sample) {
  std::vector<float> moves;
  for (size_t i = 0; i < sample.size(); ++i) {
    if (sample.logs()[i] == Sample::kNoLog) continue;
    moves.push_back(static_cast<float>(sample.logs()[i]) * (1.0f / kLogUnit) - sample.anchors()[i]);
  }
  if (moves.empty()) return 0;
  const auto middle = moves.begin() + static_cast<std::ptrdiff_t>(moves.size() / 2);
  std::ranges::nth_element(moves, middle);
  const float move = *middle * kMeanUnit;
  return std::abs(move) <= 0.875f ? 0 : static_cast<int>(std::lround(move));
}

}  // namespace

Means ChooseMeans(Bytes v, uint64_t row_words, double v_step, Sample& sample) {
  const uint64_t elements = v.size() / sizeof(float);
  const int16_t mean = MeanLog(sample.logs(), Sample::kNoLog);
  Means none;
  none.origin = static_cast<int16_t>(mean / (kLogUnit / kMeanUnit));
  sample.SetAnchors(none.View({}));
  if (elements < kMinRow * kMinRow) return none;

  const double spread = Spread(sample);
  const uint64_t row = row_words;
  const bool two_dimensional =
      row >= kMinRow && row <= elements / kMinRow && row <= UINT32_MAX && elements % row == 0;
  const auto length = two_dimensional ? static_cast<uint32_t>(row) : kFlatRow;
  MeansFinder finder(v, length, mean);
  Means means = two_dimensional ? ChooseColumns(finder, elements, row, sample) : finder.Rows();
  sample.SetAnchors(means.View({}));
  // What lies within a step costs little either way.
  const double within = v_step / 4;
  const double saved = Log2(static_cast<float>((spread + within) / (Spread(sample) + within)));
  const auto stored = static_cast<double>(8 * (means.rows.size() + means.columns.size()));
  if (saved * static_cast<double>(elements) > stored) return means;
  sample.SetAnchors(none.View({}));
  return none;
}

Means FollowMeans(Bytes v, const Params& base, Sample& sample) {
  sample.SetAnchors(base);
  const int move = MedianMove(sample);
  const auto origin = static_cast<int16_t>(std::clamp(base.origin + move, -kMaxOrigin, kMaxOrigin));
  Means means{origin,
              base.row_length,
              base.panel_rows,
              {base.rows.begin(), base.rows.end()},
              {base.columns.begin(), base.columns.end()}};
  MeansFinder finder(v, base.row_length, MeanLog(sample.logs(), Sample::kNoLog));
  if (!base.rows.empty() && finder.HasShapeOf(base)) means = finder.Followed(base, origin);
  sample.SetAnchors(means.View({}));
  return means;
}

}  // namespace bitsnap::adam
