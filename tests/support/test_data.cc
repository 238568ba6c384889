#include "tests/support/test_data.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <random>

namespace bitsnap::test {
namespace {

// Its sequence is fixed by the standard; that of std::normal_distribution is not.
using Random = std::mt19937_64;

// The sum of twelve uniform variables, sixteen bits each, is as good as normal here.
double Normal(Random& random) {
  uint64_t sum = 0;
  for (int i = 0; i < 3; ++i) {
    const uint64_t bits = random();
    for (int shift = 0; shift < 64; shift += 16) sum += bits >> shift & 0xffff;
  }
  return static_cast<double>(sum) * 0x1p-16 - 6;
}

struct FloatFormat {
  int exponent_bits;
  int mantissa_bits;
};

// The IEEE formats; nullopt for all others.
std::optional<FloatFormat> FormatOf(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return FloatFormat{5, 10};
    case DType::kBF16:
      return FloatFormat{8, 7};
    case DType::kF32:
    case DType::kC64:
      return FloatFormat{8, 23};
    case DType::kF64:
    case DType::kC128:
      return FloatFormat{11, 52};
    case DType::kF8E5M2:
      return FloatFormat{5, 2};
    default:
      return std::nullopt;
  }
}

uint64_t MantissaMask(FloatFormat format) { return (uint64_t{1} << format.mantissa_bits) - 1; }

uint64_t ExponentMask(FloatFormat format) {
  return ((uint64_t{1} << format.exponent_bits) - 1) << format.mantissa_bits;
}

uint64_t SignMask(FloatFormat format) {
  return uint64_t{1} << (format.exponent_bits + format.mantissa_bits);
}

// `value` truncated to the format; 0 where it would be denormal. Requires: finite in the format.
uint64_t FloatBits(double value, FloatFormat format) {
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> 52 & 0x7ff) - 1023 + bias;
  const uint64_t sign = bits >> 63 ? SignMask(format) : 0;
  if (exponent <= 0) return sign;
  const uint64_t mantissa = (bits & ((uint64_t{1} << 52) - 1)) >> (52 - format.mantissa_bits);
  return sign | static_cast<uint64_t>(exponent) << format.mantissa_bits | mantissa;
}

uint64_t WeightWord(DType dtype, Random& random) {
  if (const auto format = FormatOf(dtype)) return FloatBits(0.02 * Normal(random), *format);
  return static_cast<uint64_t>(static_cast<int64_t>(20 * Normal(random)));
}

uint64_t NanOrInfinityWord(DType dtype, Random& random) {
  const auto format = FormatOf(dtype);
  if (!format) return ~uint64_t{0};
  const uint64_t payload = random() % 3 == 0 ? 0 : random() & MantissaMask(*format);
  return (random() & SignMask(*format)) | ExponentMask(*format) | payload;
}

uint64_t DenormalWord(DType dtype, Random& random) {
  const auto format = FormatOf(dtype);
  if (!format) return random() % 2;
  const uint64_t mantissa = random() % 3 == 0 ? 0 : random() & MantissaMask(*format);
  return (random() & SignMask(*format)) | mantissa;
}

uint64_t SpecialsWord(DType dtype, Random& random) {
  switch (random() % 32) {
    case 0:
      return NanOrInfinityWord(dtype, random);
    case 1:
      return DenormalWord(dtype, random);
    default:
      return WeightWord(dtype, random);
  }
}

std::vector<std::byte> Leftovers(size_t bytes, Random& random) {
  std::vector<std::byte> out(bytes);
  for (size_t at = 0; at < bytes;) {
    const size_t end = std::min(bytes, at + 8 + random() % 256);
    const uint64_t kind = random() % 4;
    const uint64_t pointer = 0x00007f3a00000000 | (random() & 0xfffffff0);
    for (; at < end; ++at) {
      switch (kind) {
        case 0:
          break;
        case 1:
          out[at] = static_cast<std::byte>(pointer >> (at % 8 * 8));
          break;
        case 2:
          out[at] = static_cast<std::byte>('a' + random() % 26);
          break;
        default:
          out[at] = static_cast<std::byte>(random());
      }
    }
  }
  return out;
}

}  // namespace

std::string_view ContentName(Content content) {
  static constexpr std::array<std::string_view, kAllContents.size()> kNames = {
      "zeros",     "constant",  "weights",     "specials", "NaNs",
      "denormals", "ascending", "random bits", "leftovers"};
  return kNames[static_cast<size_t>(content)];
}

std::vector<std::byte> MakeContent(Content content, DType dtype, size_t bytes, uint64_t seed) {
  Random random(seed);
  if (content == Content::kLeftovers) return Leftovers(bytes, random);
  const uint64_t constant = WeightWord(dtype, random);
  const auto word = [&](size_t i) -> uint64_t {
    switch (content) {
      case Content::kConstant:
        return constant;
      case Content::kWeights:
        return WeightWord(dtype, random);
      case Content::kSpecials:
        return SpecialsWord(dtype, random);
      case Content::kNans:
        return NanOrInfinityWord(dtype, random);
      case Content::kDenormals:
        return DenormalWord(dtype, random);
      case Content::kAscending:
        return 3 * i;
      case Content::kRandomBits:
        return random();
      default:
        return 0;
    }
  };
  const size_t word_bytes = WordBytes(dtype);
  std::vector<std::byte> out(bytes);
  for (size_t i = 0; i < bytes / word_bytes; ++i) {
    const uint64_t value = word(i);
    std::memcpy(&out[i * word_bytes], &value, word_bytes);
  }
  return out;
}

std::string_view BaseModeName(BaseMode mode) {
  static constexpr std::array<std::string_view, kAllBaseModes.size()> kNames = {
      "equal", "few changed", "all changed"};
  return kNames[static_cast<size_t>(mode)];
}

std::vector<std::byte> MakeBase(BaseMode mode, Bytes raw, size_t word_bytes, uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> base(raw.begin(), raw.end());
  if (mode == BaseMode::kEqual) return base;
  for (size_t at = 0; at < base.size(); at += word_bytes) {
    if (mode == BaseMode::kFewChanged && random() % 16 != 0) continue;
    base[at + random() % word_bytes] ^= static_cast<std::byte>(1 + random() % 255);
  }
  return base;
}

bool IsNonFinite(DType dtype, const std::byte* word) {
  const auto format = FormatOf(dtype);
  if (!format) return false;
  uint64_t bits = 0;
  std::memcpy(&bits, word, WordBytes(dtype));
  return (bits & ExponentMask(*format)) == ExponentMask(*format);
}

}  // namespace bitsnap::test
