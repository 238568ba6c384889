#include "cli/similar.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include <fmt/core.h>

namespace bitsnap::cli {

namespace {

constexpr size_t kMostNames = 3;

// Levenshtein distance, one row of the table at a time.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replace = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replace, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// A name that contains the other is near however much is missing.
size_t Distance(std::string_view wanted, std::string_view name) {
  if (name.find(wanted) != name.npos || wanted.find(name) != wanted.npos) return 1;
  return EditDistance(wanted, name);
}

}  // namespace

std::string SimilarNames(std::string_view name, std::span<const StoredTensor> tensors) {
  if (name.empty()) return "";
  std::vector<std::pair<size_t, std::string_view>> near;
  for (const StoredTensor& tensor : tensors) {
    const size_t distance = Distance(name, tensor.info.name);
    if (!tensor.info.name.empty() && distance <= std::max<size_t>(2, name.size() / 4)) {
      near.emplace_back(distance, tensor.info.name);
    }
  }
  std::stable_sort(near.begin(), near.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  near.resize(std::min(near.size(), kMostNames));

  std::string text;
  for (size_t i = 0; i < near.size(); ++i) {
    text += i == 0 ? "; did you mean " : i + 1 < near.size() ? ", " : " or ";
    text += near[i].second;
  }
  return text.empty() ? text : text + "?";
}

}  // namespace bitsnap::cli
