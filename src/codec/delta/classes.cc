#include "codec/delta/classes.h"

#include <bit>

#include "codec/log2.h"

namespace bitsnap::delta {
namespace {

using context_rans::Counts;
using context_rans::kScale;

// Exponents of fewer words than this part of the block are merged unseen: to weigh each of them up
// would cost more time than it saves space.
constexpr uint32_t kTinyPart = 512;

struct Segment {
  size_t first_exponent;
  Counts* counts;
  uint32_t total;
  uint64_t cost;  // fixed-point bits, with the table
};

// What the words of one class cost, given a way to read the counts of its symbols.
template <class CountOf>
uint64_t Cost(uint32_t total, size_t symbols, CountOf&& count_of) {
  const uint64_t log_total = Log2(total);
  uint64_t bits = total * log_total;
  uint64_t table_bits = 0;
  for (size_t s = 0; s < symbols; ++s) {
    const uint32_t count = count_of(s);
    if (count == 0) continue;
    const uint64_t log_count = Log2(count);
    bits -= count * log_count;
    // The width of the frequency, its bits below the highest, and some of the zeros between.
    const auto width =
        (log_count + (uint64_t{context_rans::kScaleBits} << kLog2Fraction) - log_total) >>
        kLog2Fraction;
    table_bits += 5 + width % 64;
  }
  return bits + (table_bits << kLog2Fraction);
}

class Merger {
 public:
  explicit Merger(size_t symbols) : symbols_(symbols) {}

  void Add(size_t exponent, Counts& counts, uint32_t total) {
    segments_[size_++] = {exponent, &counts, total, 0};
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
    classes.count = size_;
    for (size_t i = 0; i < size_; ++i) {
      const Segment& segment = segments_[i];
      if (i > 0) classes.bounds[i - 1] = static_cast<uint8_t>(segment.first_exponent);
      classes.counts[i] = segment.counts;
      classes.estimated_bits += segment.cost >> kLog2Fraction;
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
  std::array<Segment, 256> segments_;
  std::array<uint64_t, 256> together_;  // [i]: the cost of segments i and i + 1 as one
};

}  // namespace

Classes ChooseClasses(std::span<Counts> by_exponent, size_t first_exponent, size_t symbols) {
  Merger merger(symbols);
  uint32_t words = 0;
  for (size_t i = 0; i < by_exponent.size(); ++i) {
    uint32_t total = 0;
    for (size_t s = 0; s < symbols; ++s) total += by_exponent[i][s];
    if (total > 0) merger.Add(first_exponent + i, by_exponent[i], total);
    words += total;
  }
  merger.MergeTiny(words / kTinyPart);
  merger.MergeWhileCheaper();
  return merger.Result();
}

}  // namespace bitsnap::delta
