#include "codec/delta/kernel_ref.h"

#include <algorithm>
#include <cstring>

#include "codec/delta/symbols.h"

namespace bitsnap::delta {
namespace {

template <class T>
T Word(Bytes bytes, size_t i) {
  T word;
  std::memcpy(&word, &bytes[i * sizeof(T)], sizeof(T));
  return word;
}

}  // namespace

size_t FindChangedRef(Bytes symbols, std::span<uint64_t> groups) {
  std::ranges::fill(groups, 0);
  size_t changed = 0;
  for (size_t i = 0; i < symbols.size(); ++i) {
    if (symbols[i] == std::byte{0}) continue;
    const size_t group = i / kGroup;
    groups[group / 64] |= uint64_t{1} << group % 64;
    ++changed;
  }
  return changed;
}

void MakeSymbolsRef(DType dtype, Bytes base, Bytes raw, MutableBytes symbols) {
  WithLayout(dtype, [&]<class L>(L) {
    using T = typename L::Word;
    for (size_t i = 0; i < symbols.size(); ++i) {
      const Step<T> step = StepFrom(Word<T>(base, i), Word<T>(raw, i));
      symbols[i] = static_cast<std::byte>(2 * L::Bucket(step.size) - step.back);
    }
  });
}

void WriteExtrasRef(DType dtype, Bytes base, Bytes raw, Bytes symbols, BitWriter& out) {
  WithLayout(dtype, [&]<class L>(L) {
    using T = typename L::Word;
    for (size_t i = 0; i < symbols.size(); ++i) {
      const uint32_t bucket = (std::to_integer<uint32_t>(symbols[i]) + 1) / 2;
      const Step<T> step = StepFrom(Word<T>(base, i), Word<T>(raw, i));
      out.Write(step.size - L::First(bucket), L::ExtraBits(bucket));
    }
  });
}

void ExponentsRef(DType dtype, Bytes base, MutableBytes exponents) {
  WithLayout(dtype, [&]<class L>(L) {
    using T = typename L::Word;
    for (size_t i = 0; i < exponents.size(); ++i) {
      const T magnitude = Word<T>(base, i) & static_cast<T>(~L::kSign);
      exponents[i] = static_cast<std::byte>(magnitude >> L::kExponentShift);
    }
  });
}

void ClassifyRef(std::span<const uint8_t> bounds, MutableBytes exponents) {
  for (std::byte& e : exponents) {
    const auto exponent = std::to_integer<uint8_t>(e);
    e = static_cast<std::byte>(
        std::ranges::count_if(bounds, [=](uint8_t bound) { return exponent >= bound; }));
  }
}

void RestoreRef(DType dtype, Bytes base, Bytes symbols, BitReader& extras, MutableBytes out) {
  WithLayout(dtype, [&]<class L>(L) {
    using T = typename L::Word;
    for (size_t i = 0; i < symbols.size(); ++i) {
      const auto symbol = std::to_integer<uint32_t>(symbols[i]);
      const uint32_t bucket = (symbol + 1) / 2;
      const T size = static_cast<T>(L::First(bucket) + extras.Read(L::ExtraBits(bucket)));
      const T word = ApplyStep<T>(Word<T>(base, i), {size, symbol % 2 != 0});
      std::memcpy(&out[i * sizeof(T)], &word, sizeof(T));
    }
  });
}

}  // namespace bitsnap::delta
