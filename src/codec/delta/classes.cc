#include "codec/delta/classes.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "codec/log2.h"

namespace bitsnap::delta {
namespace {

using context_rans::Counts;

// Exponents of fewer words than this part of the block are merged unseen: to weigh each of them up
// would cost more time than it saves space.
constexpr uint32_t kTinyPart = 512;
// Nor can fewer words than this pay for a table of their own.
constexpr uint32_t kTinyWords = 64;

// Roughly what WriteCounts needs.
constexpr uint64_t kTableBits = 16;
constexpr uint64_t kTableBitsPerSymbol = 5;

struct Segment {
  uint8_t first_row;
  Counts* counts;
  uint32_t total;
  uint64_t cost;  // fixed-point bits, with the table
};

// What the words of one class cost, given a way to read the counts of its symbols.
template <class CountOf>
uint64_t Cost(uint32_t total, size_t symbols, CountOf&& count_of) {
  const uint64_t log_total = Log2(total);
  uint64_t bits = total * log_total;
  uint64_t table_bits = kTableBits;
  for (size_t s = 0; s < symbols; ++s) {
    const uint32_t count = count_of(s);
    if (count == 0) continue;
    const uint64_t log_count = Log2(count);
    bits -= count * log_count;
    table_bits += kTableBitsPerSymbol;
  }
  return bits + (table_bits << kLog2Fraction);
}

class Merger {
 public:
  explicit Merger(size_t symbols) : symbols_(symbols) {}

  void Add(uint8_t row, Counts& counts, uint32_t total) {
    segments_[size_++] = {row, &counts, total, 0};
  }

  // Merges segments below `tiny` words with their lower neighbour, or with the next if none is.
  void MergeTiny(uint32_t tiny) {
    for (size_t i = 0; i + 1 < size_;) {
      if (segments_[i].total < tiny || segments_[i + 1].total < tiny) {
        Merge(i);
      } else {
        ++i;
      }
    }
  }

  void MergeWhileCheaper() {
    for (size_t i = 0; i < size_; ++i) segments_[i].cost = CostOf(segments_[i]);
    for (size_t i = 0; i + 1 < size_; ++i) together_[i] = CostTogether(i);
    while (size_ > 1) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < size_; ++i) {
        if (Gain(i) > Gain(best)) best = i;
      }
      if (Gain(best) < 0 && size_ <= kMaxClasses) return;
      segments_[best].cost = together_[best];
      Merge(best);
      for (size_t i = best + 1; i + 1 < size_; ++i) together_[i] = together_[i + 1];
      if (best > 0) together_[best - 1] = CostTogether(best - 1);
      if (best + 1 < size_) together_[best] = CostTogether(best);
    }
  }

  Classes Result() const {
    Classes classes;
    for (size_t i = 0; i < size_; ++i) {
      if (i > 0) classes.of_rows.Add(segments_[i].first_row);
      classes.counts[i] = segments_[i].counts;
      classes.estimated_bits += segments_[i].cost >> kLog2Fraction;
    }
    return classes;
  }

 private:
  int64_t Gain(size_t i) const {
    return static_cast<int64_t>(segments_[i].cost + segments_[i + 1].cost - together_[i]);
  }

  uint64_t CostOf(const Segment& segment) const {
    return Cost(segment.total, symbols_, [&](size_t s) { return (*segment.counts)[s]; });
  }

  // Of segments i and i + 1.
  uint64_t CostTogether(size_t i) const {
    const Segment &a = segments_[i], &b = segments_[i + 1];
    return Cost(a.total + b.total, symbols_,
                [&](size_t s) { return (*a.counts)[s] + (*b.counts)[s]; });
  }

  void Merge(size_t i) {
    Segment &a = segments_[i], &b = segments_[i + 1];
    for (size_t s = 0; s < symbols_; ++s) (*a.counts)[s] += (*b.counts)[s];
    a.total += b.total;
    --size_;
    for (size_t k = i + 1; k < size_; ++k) segments_[k] = segments_[k + 1];
  }

  size_t symbols_;
  size_t size_ = 0;
  std::array<Segment, kMaxRows> segments_;
  std::array<uint64_t, kMaxRows> together_;  // [i]: the cost of segments i and i + 1 as one
};

}  // namespace

Partition<kMaxRows> ChooseRows(Bytes exponents) {
  constexpr size_t kSamples = 4096;
  size_t lowest = 255, highest = 0;
  const size_t stride = exponents.size() / kSamples + 1;
  for (size_t i = 0; i < exponents.size(); i += stride) {
    const auto exponent = std::to_integer<size_t>(exponents[i]);
    lowest = std::min(lowest, exponent);
    highest = std::max(highest, exponent);
  }
  Partition<kMaxRows> rows;
  // The lowest is in the first row, which needs no start.
  if (highest - lowest >= kMaxRows) lowest = highest - (kMaxRows - 1);
  for (size_t start = lowest + 1; start <= highest; ++start) rows.Add(static_cast<uint8_t>(start));
  return rows;
}

std::span<Counts> Histogram::Count(Bytes rows_of, Bytes symbols, size_t rows) {
  std::fill_n(parts_.begin(), rows, decltype(parts_)::value_type{});
  const auto count = [&](size_t i, size_t table) {
    ++parts_[std::to_integer<size_t>(rows_of[i])][table][std::to_integer<size_t>(symbols[i])];
  };
  size_t i = 0;
  for (; i + kTables <= symbols.size(); i += kTables) {
    for (size_t table = 0; table < kTables; ++table) count(i + table, table);
  }
  for (; i < symbols.size(); ++i) count(i, 0);
  for (size_t row = 0; row < rows; ++row) {
    const auto& part = parts_[row];
    for (size_t s = 0; s < sums_[row].size(); ++s) {
      sums_[row][s] = uint32_t{part[0][s]} + part[1][s] + part[2][s] + part[3][s];
    }
  }
  return std::span(sums_).first(rows);
}

Classes ChooseClasses(std::span<Counts> rows, size_t symbols) {
  const auto counts_last = [&](const Counts& row) { return row[symbols - 1] != 0; };
  while (std::ranges::none_of(rows, counts_last)) --symbols;  // few blocks have them all
  Merger merger(symbols);
  uint32_t words = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    const uint32_t total = std::accumulate(rows[row].begin(), rows[row].end(), 0u);
    if (total > 0) merger.Add(static_cast<uint8_t>(row), rows[row], total);
    words += total;
  }
  merger.MergeTiny(std::max(words / kTinyPart, kTinyWords));
  merger.MergeWhileCheaper();
  return merger.Result();
}

}  // namespace bitsnap::delta
