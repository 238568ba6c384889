// Who uses which buffer of the scratch.
#pragma once

#include "codec/codec.h"

namespace bitsnap::delta {

// A symbol and a class for each coded word, counts, coding tables.
inline constexpr size_t kSymbolsSlot = 0;
inline constexpr size_t kClassesSlot = 1;
inline constexpr size_t kCountsSlot = 2;
inline constexpr size_t kTableSlot = 3;

template <class T>
T& ScratchAs(Scratch& scratch, size_t slot) {
  return *reinterpret_cast<T*>(scratch.Get(slot, sizeof(T)).data());
}

}  // namespace bitsnap::delta
