#include "codec/adam/stream.h"

#include <algorithm>
#include <cstring>

#include "codec/entropy/rans.h"

namespace bitsnap::adam {
namespace {

enum class Kind : uint8_t { kRaw = 0, kConstant = 1, kRans = 2 };

constexpr size_t kLengthBytes = sizeof(uint32_t);
constexpr size_t kHeadBytes = 1 + kLengthBytes;

}  // namespace

size_t SymbolsBound(size_t symbols) {
  return kHeadBytes + std::max(symbols, rans::EncodeBound(symbols));
}

size_t WriteSymbols(std::span<const uint8_t> symbols, MutableBytes out) {
  if (std::memcmp(symbols.data(), symbols.data() + 1, symbols.size() - 1) == 0) {
    out[0] = static_cast<std::byte>(Kind::kConstant);
    out[1] = static_cast<std::byte>(symbols[0]);
    return 2;
  }
  if (symbols.size() >= rans::kMinSymbols) {
    const auto size = rans::Encode(std::as_bytes(symbols), out.subspan(kHeadBytes));
    if (size && kHeadBytes + *size <= symbols.size()) {
      out[0] = static_cast<std::byte>(Kind::kRans);
      const auto length = static_cast<uint32_t>(*size);
      std::memcpy(&out[1], &length, kLengthBytes);
      return kHeadBytes + *size;
    }
  }
  out[0] = static_cast<std::byte>(Kind::kRaw);
  std::memcpy(&out[1], symbols.data(), symbols.size());
  return 1 + symbols.size();
}

bool ReadSymbols(ByteReader& reader, std::span<uint8_t> symbols) {
  switch (static_cast<Kind>(reader.Int<uint8_t>())) {
    case Kind::kRaw: {
      const Bytes raw = reader.Raw(symbols.size());
      std::memcpy(symbols.data(), raw.data(), raw.size());
      return reader.ok();
    }
    case Kind::kConstant:
      std::ranges::fill(symbols, reader.Int<uint8_t>());
      return reader.ok();
    case Kind::kRans:
      return rans::Decode(reader.Raw(reader.Int<uint32_t>()), std::as_writable_bytes(symbols));
  }
  return false;
}

}  // namespace bitsnap::adam
