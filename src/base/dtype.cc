#include <bitsnap/dtype.h>

#include <array>

#include "base/checked.h"

namespace bitsnap {
namespace {

struct Traits {
  std::string_view name;
  uint8_t bits;
  uint8_t word_bytes;
};

// Indexed by the dtype's code.
constexpr std::array<Traits, kDTypeCount> kTraits = {{
    {"BOOL", 8, 1},    {"U8", 8, 1},          {"I8", 8, 1},          {"U16", 16, 2},
    {"I16", 16, 2},    {"U32", 32, 4},        {"I32", 32, 4},        {"U64", 64, 8},
    {"I64", 64, 8},    {"F16", 16, 2},        {"BF16", 16, 2},       {"F32", 32, 4},
    {"F64", 64, 8},    {"C64", 64, 4},        {"C128", 128, 8},      {"F4", 4, 1},
    {"F6_E2M3", 6, 1}, {"F6_E3M2", 6, 1},     {"F8_E5M2", 8, 1},     {"F8_E4M3", 8, 1},
    {"F8_E8M0", 8, 1}, {"F8_E5M2FNUZ", 8, 1}, {"F8_E4M3FNUZ", 8, 1},
}};

const Traits& TraitsOf(DType dtype) { return kTraits[static_cast<size_t>(dtype)]; }

}  // namespace

std::string_view DTypeName(DType dtype) { return TraitsOf(dtype).name; }

std::optional<DType> ParseDType(std::string_view name) {
  for (size_t i = 0; i < kDTypeCount; ++i) {
    if (kTraits[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::optional<DType> DTypeFromCode(uint8_t code) {
  if (code >= kDTypeCount) return std::nullopt;
  return static_cast<DType>(code);
}

size_t BitsPerElement(DType dtype) { return TraitsOf(dtype).bits; }

size_t WordBytes(DType dtype) { return TraitsOf(dtype).word_bytes; }

std::optional<uint64_t> TensorBytes(DType dtype, std::span<const uint64_t> shape) {
  // Zero anywhere makes the tensor empty, however large the other dimensions claim to be.
  for (uint64_t dim : shape) {
    if (dim == 0) return 0;
  }
  std::optional<uint64_t> bits = BitsPerElement(dtype);
  for (uint64_t dim : shape) {
    bits = CheckedMul(*bits, dim);
    if (!bits) return std::nullopt;
  }
  if (*bits % 8 != 0) return std::nullopt;
  return *bits / 8;
}

}  // namespace bitsnap
