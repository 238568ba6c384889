#include "codec/residual/kernel.h"

#include <bit>
#include <cstring>

// Plain loops that compilers turn into vector code by themselves: the noise in a master's low bits
// makes this codec a matter of copying, which needs no more.
namespace bitsnap::residual {
namespace {

template <class T>
T Load(const std::byte* bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

// By integers alone: a thread that flushes denormals to zero must get the same bits.
uint32_t WidenHalf(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 31) return sign | 0x7f800000u | mantissa << 13;
  if (exponent != 0) return sign | (exponent + 112) << 23 | mantissa << 13;
  if (mantissa == 0) return sign;
  const uint32_t shift = static_cast<uint32_t>(std::countl_zero(mantissa)) - 21;
  return sign | (113 - shift) << 23 | (mantissa << shift & 0x3ffu) << 13;
}

// Rounded down: with Sum's middles, 2^kept quotients then cover all residuals of rounded copies.
int32_t Quotient(uint32_t value, uint32_t widened, unsigned dropped) {
  return static_cast<int32_t>(Ordered(value) - Ordered(widened)) >> dropped;
}

// The float in the middle of those that share quotient q.
uint32_t Sum(uint32_t widened, int32_t q, unsigned dropped) {
  const uint32_t middle = (uint32_t{1} << dropped) >> 1;
  return Ordered(Ordered(widened) + (static_cast<uint32_t>(q) << dropped) + middle);
}

bool IsFinite(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

// NaN and Inf are kept exactly, and nothing finite is rounded to them.
bool FitsQuotient(uint32_t value, uint32_t widened, int32_t q, unsigned dropped) {
  const int32_t limit = 1 << (15 - dropped);
  const bool in_range = q >= -limit && q < limit;
  return in_range && (dropped == 0 || (IsFinite(value) && IsFinite(Sum(widened, q, dropped))));
}

}  // namespace

void Widen(DType dtype, Bytes weights, std::span<uint32_t> bits) {
  if (dtype == DType::kBF16) {
    for (size_t i = 0; i < bits.size(); ++i) {
      bits[i] = static_cast<uint32_t>(Load<uint16_t>(weights.data(), i)) << 16;
    }
  } else {
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = WidenHalf(Load<uint16_t>(weights.data(), i));
  }
}

size_t Subtract(Bytes values, std::span<const uint32_t> widened, unsigned dropped,
                std::span<int32_t> q) {
  uint32_t exceptions = 0;
  for (size_t i = 0; i < q.size(); ++i) {
    const auto value = Load<uint32_t>(values.data(), i);
    const int32_t quotient = Quotient(value, widened[i], dropped);
    const bool fits = FitsQuotient(value, widened[i], quotient, dropped);
    q[i] = fits ? quotient : 0;
    exceptions += !fits;
  }
  return exceptions;
}

bool Fits(uint32_t value, uint32_t widened, unsigned dropped) {
  return FitsQuotient(value, widened, Quotient(value, widened, dropped), dropped);
}

void Add(std::span<const uint32_t> widened, std::span<const int32_t> q, unsigned dropped,
         MutableBytes values) {
  for (size_t i = 0; i < q.size(); ++i) {
    const uint32_t bits = Sum(widened[i], q[i], dropped);
    std::memcpy(values.data() + i * sizeof(bits), &bits, sizeof(bits));
  }
}

void ToPlanes(std::span<const int32_t> q, unsigned kept, MutableBytes planes) {
  const int32_t bias = 1 << (kept - 1);
  for (size_t i = 0; i < q.size(); ++i) planes[i] = static_cast<std::byte>(q[i] + bias);
  if (kept <= 8) return;
  for (size_t i = 0; i < q.size(); ++i) {
    planes[q.size() + i] = static_cast<std::byte>((q[i] + bias) >> 8);
  }
}

void FromPlanes(const std::byte* low, const std::byte* high, unsigned kept, std::span<int32_t> q) {
  const int32_t bias = 1 << (kept - 1);
  if (high == nullptr) {
    for (size_t i = 0; i < q.size(); ++i) q[i] = static_cast<int32_t>(low[i]) - bias;
  } else {
    for (size_t i = 0; i < q.size(); ++i) {
      q[i] = (static_cast<int32_t>(low[i]) | static_cast<int32_t>(high[i]) << 8) - bias;
    }
  }
}

}  // namespace bitsnap::residual
