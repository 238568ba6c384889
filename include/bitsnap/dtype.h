// Element types: every dtype of safetensors, and complex double for the sake of torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bitsnap {

// The values are part of the file format: never renumber, only append.
enum class DType : uint8_t {
  kBool = 0,
  kU8 = 1,
  kI8 = 2,
  kU16 = 3,
  kI16 = 4,
  kU32 = 5,
  kI32 = 6,
  kU64 = 7,
  kI64 = 8,
  kF16 = 9,
  kBF16 = 10,
  kF32 = 11,
  kF64 = 12,
  kC64 = 13,   // complex of two F32
  kC128 = 14,  // complex of two F64; not a safetensors dtype
  kF4 = 15,
  kF6E2M3 = 16,
  kF6E3M2 = 17,
  kF8E5M2 = 18,
  kF8E4M3 = 19,
  kF8E8M0 = 20,
  kF8E5M2Fnuz = 21,
  kF8E4M3Fnuz = 22,
};

inline constexpr size_t kDTypeCount = 23;

// The safetensors spelling ("BF16", "F8_E4M3"); "C128" for kC128.
std::string_view DTypeName(DType dtype);
std::optional<DType> ParseDType(std::string_view name);
// nullopt for a number that no dtype has.
std::optional<DType> DTypeFromCode(uint8_t code);

// Bits of one element: 4, 6, 8, 16, 32, 64 or 128.
size_t BitsPerElement(DType dtype);

// Bytes of the smallest unit that codecs may treat as one value: 1, 2, 4 or 8. Sub-byte elements
// count as bytes, complex numbers as their two parts.
size_t WordBytes(DType dtype);

// Bytes of a tensor of this dtype and shape; nullopt when the product overflows or, for sub-byte
// elements, does not fill whole bytes. A 0-d tensor (empty shape) has one element.
std::optional<uint64_t> TensorBytes(DType dtype, std::span<const uint64_t> shape);

}  // namespace bitsnap
