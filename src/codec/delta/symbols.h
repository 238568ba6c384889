// A word as a step from its base: see spec.md. Shared by the kernels, their reference and the
// codec.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include <bitsnap/dtype.h>

namespace bitsnap::delta {

// How the words of a dtype are coded. `kSplitBits` is how many bits below the highest one of a
// step's size belong to its symbol.
template <class WordType, int kShift, int kSplit>
struct Layout {
  using Word = WordType;
  static constexpr int kExponentShift = kShift;
  static constexpr int kSplitBits = kSplit;
  // Steps of smaller size are their own bucket and have no extra bits.
  static constexpr uint32_t kDirect = 2u << kSplit;

  static constexpr uint32_t Bucket(Word size) {
    if (size < kDirect) return size;
    const int shift = std::bit_width(size) - 1 - kSplit;
    return (static_cast<uint32_t>(shift) << kSplit) + static_cast<uint32_t>(size >> shift);
  }
  static constexpr int ExtraBits(uint32_t bucket) {
    return bucket < kDirect ? 0 : static_cast<int>(bucket >> kSplit) - 1;
  }
  // The smallest size in a bucket.
  static constexpr Word First(uint32_t bucket) {
    const int shift = ExtraBits(bucket);
    return static_cast<Word>((bucket - (static_cast<uint32_t>(shift) << kSplit)) << shift);
  }

  static constexpr Word kSign = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));
  static constexpr size_t kSymbols = 2 * Bucket(kSign) + 1;
  // The first symbol with extra bits.
  static constexpr uint32_t kFirstSplit = 2 * kDirect - 1;
};

using BF16Layout = Layout<uint16_t, 7, 3>;
using F16Layout = Layout<uint16_t, 10, 3>;
using F32Layout = Layout<uint32_t, 23, 2>;

// Calls `f` with the layout of `dtype`. Requires: it is BF16, F16 or F32.
template <class F>
auto WithLayout(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kBF16:
      return f(BF16Layout());
    case DType::kF16:
      return f(F16Layout());
    default:
      return f(F32Layout());
  }
}

inline size_t SymbolsOf(DType dtype) {
  return WithLayout(dtype, []<class L>(L) { return L::kSymbols; });
}

template <std::unsigned_integral T>
struct Step {
  T size;
  bool back;  // towards zero, or through it
};

// Sign and magnitude to two's complement, and back: -0.0 becomes -1.
template <std::unsigned_integral T>
constexpr T Ordered(T word) {
  const bool negative = word >> (8 * sizeof(T) - 1);
  return negative ? static_cast<T>(word ^ (static_cast<T>(~T{0}) >> 1)) : word;
}

template <std::unsigned_integral T>
constexpr Step<T> StepFrom(T base, T word) {
  constexpr T kSign = static_cast<T>(T{1} << (8 * sizeof(T) - 1));
  const T sign = base & kSign;
  const T step = static_cast<T>(Ordered<T>(word ^ sign) - (base ^ sign));
  const bool back = (step & kSign) != 0;
  return {back ? static_cast<T>(-step) : step, back};
}

template <std::unsigned_integral T>
constexpr T ApplyStep(T base, Step<T> step) {
  constexpr T kSign = static_cast<T>(T{1} << (8 * sizeof(T) - 1));
  const T sign = base & kSign;
  const T size = step.back ? static_cast<T>(-step.size) : step.size;
  return Ordered<T>(static_cast<T>((base ^ sign) + size)) ^ sign;
}

}  // namespace bitsnap::delta
