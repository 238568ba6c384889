// Which exponents of the base share a frequency table.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "codec/codec.h"
#include "codec/entropy/context_rans.h"

namespace bitsnap::delta {

inline constexpr size_t kMaxClasses = context_rans::kMaxContexts;

// Exponents are first told apart in rows, of which the classes are made.
inline constexpr size_t kMaxRows = 32;

// Row or class k has the exponents from starts[k - 1] to below starts[k].
template <size_t kMost>
struct Partition {
  size_t count = 1;
  std::array<uint8_t, kMost - 1> starts{};  // count - 1 of them, ascending and not 0

  void Add(uint8_t start) { starts[count++ - 1] = start; }
  std::span<const uint8_t> used() const { return std::span(starts).first(count - 1); }
};

// A row for each exponent between the lowest and the highest of a sample; the lowest share one if
// there are too many.
Partition<kMaxRows> ChooseRows(Bytes exponents);

// Symbols of each row.
class Histogram {
 public:
  // Valid until the next call. Requires: rows_of[i] < rows; at most kMostWords.
  std::span<context_rans::Counts> Count(Bytes rows_of, Bytes symbols, size_t rows);

  static constexpr size_t kMostWords = kBlockBytes / sizeof(uint16_t);

 private:
  // Several tables, because increments of one counter wait for each other; of small numbers, so
  // that all stay in the L1 cache.
  static constexpr size_t kTables = 4;
  using Table = std::array<uint16_t, 256>;
  static_assert(kMostWords / kTables + 8 <= UINT16_MAX);

  std::array<std::array<Table, kTables>, kMaxRows> parts_;
  std::array<context_rans::Counts, kMaxRows> sums_;
};

struct Classes {
  Partition<kMaxClasses> of_rows;  // by number of row
  std::array<context_rans::Counts*, kMaxClasses> counts{};
  uint64_t estimated_bits = 0;  // of symbols and tables, without extra bits
};

// Merges neighbouring rows while that makes symbols and tables smaller by estimate, and until there
// are at most kMaxClasses. rows[i] counts the symbols of row i, all below `symbols`; the classes'
// counts are left in some of the rows. Requires: at most kMaxRows; some count is not 0.
Classes ChooseClasses(std::span<context_rans::Counts> rows, size_t symbols);

}  // namespace bitsnap::delta
