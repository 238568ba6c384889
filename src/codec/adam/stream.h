// Symbols in a payload: as they are, one repeated, or entropy-coded.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace bitsnap::adam {

// What WriteSymbols needs of `out`.
size_t SymbolsBound(size_t symbols);

// Writes to the front of `out` and returns the size, at most `symbols` + 1 bytes.
// Requires: at least one symbol; out.size() >= SymbolsBound(symbols.size()).
size_t WriteSymbols(std::span<const uint8_t> symbols, MutableBytes out);

// False when malformed.
bool ReadSymbols(ByteReader& reader, std::span<uint8_t> symbols);

}  // namespace bitsnap::adam
