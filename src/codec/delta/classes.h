// Which exponents of the base share a frequency table.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "codec/entropy/context_rans.h"

namespace bitsnap::delta {

inline constexpr size_t kMaxClasses = context_rans::kMaxContexts;

// Class k has the exponents from bounds[k - 1] to below bounds[k].
struct Classes {
  size_t count = 0;
  std::array<uint8_t, kMaxClasses> bounds{};  // the first count - 1, ascending and not 0
  std::array<const context_rans::Counts*, kMaxClasses> counts{};
  uint64_t estimated_bits = 0;  // of symbols and tables, without extra bits

  std::span<const uint8_t> used_bounds() const { return std::span(bounds).first(count - 1); }
};

// Merges neighbouring exponents while that makes symbols and tables smaller by estimate.
// `by_exponent[i]` counts the symbols, all below `symbols`, under exponent first_exponent + i; the
// classes' counts are left in rows of it. Requires: some count is not 0.
Classes ChooseClasses(std::span<context_rans::Counts> by_exponent, size_t first_exponent,
                      size_t symbols);

}  // namespace bitsnap::delta
