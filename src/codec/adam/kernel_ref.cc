#include "codec/adam/kernel_ref.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "codec/adam/math.h"

namespace bitsnap::adam {
namespace {

float Load(Bytes bytes, size_t i) {
  float value;
  std::memcpy(&value, &bytes[i * sizeof(value)], sizeof(value));
  return value;
}

void Store(float value, MutableBytes bytes, size_t i) {
  std::memcpy(&bytes[i * sizeof(value)], &value, sizeof(value));
}

bool IsNormal(float v) { return v >= kMinNormal && v < kMaxNormal; }

bool InRange(float place) { return std::abs(place) < kMaxIndex; }

// The index next to `place`, 0 below a distance of `zone`.
int Nearest(float place, float zone) {
  return std::abs(place) < zone ? 0 : static_cast<int>(std::rint(place));
}

bool IsIndex(int16_t k) { return k > kZero; }

int Predict(std::span<const int16_t> base, size_t i, Prediction prediction) {
  const int scaled = prediction.slope == 0 ? 0 : (base[i] * prediction.slope + (1 << 14)) >> 15;
  // The one product that does not fit saturates.
  return std::min(scaled, 0x7fff) + prediction.offset;
}

struct Placed {
  int v_index, u_index;
  float u_place;  // of u itself, with the exact v, as it counts: see kLeastPlace
  int u_counted;  // u_index, or 0 where m^ will be flushed
};

// Nothing where the pair has no indices.
std::optional<Placed> Place(float v, float m, float anchor, const Grid& grid, Stretch stretch) {
  if (!(v >= kMinNormal && v < kMaxPlaced)) return std::nullopt;
  const float v_place = (RoughLog2(v) - anchor) * (1.0f / grid.v_step);
  if (!InRange(v_place)) return std::nullopt;
  const int v_index = Nearest(v_place, ZoneOfV(grid));
  const float root = std::sqrt(v);
  const float exact = root + grid.eps;
  const float off = static_cast<float>(v_index) - v_place;
  const float rounded = root * RoughExp2(off * (0.5f * grid.v_step)) + grid.eps;
  const float share = m * (1.0f / (exact * rounded));
  const float inverse = 1.0f / grid.u_step;
  const float want = share * exact * (inverse * stretch);
  if (!(std::abs(want) < MaxUpdateIndex(grid))) return std::nullopt;
  const int u_index = Nearest(want, ZoneOfU(grid));
  const float place = share * rounded * inverse;
  const bool is_zero = std::bit_cast<uint32_t>(m) << 1 == 0;
  const bool counts_least = !is_zero && std::abs(place) < kLeastPlace;
  const float product = std::abs(static_cast<float>(u_index) * grid.u_step * rounded);
  const bool flushed = MayFlush(grid) && product < kMayFlushBelow;
  return Placed{v_index, u_index, counts_least ? kLeastPlace : place, flushed ? 0 : u_index};
}

}  // namespace

UpdateSums QuantizeRef(Bytes v_bytes, Bytes m_bytes, std::span<const float> anchors,
                       const Grid& grid, Stretch stretch, const Quantized& out) {
  const auto& [kv, ku, denominators, v_out, m_out] = out;
  for (size_t i = 0; i < kv.size(); ++i) {
    const float v = Load(v_bytes, i);
    const float m = Load(m_bytes, i);
    const bool zero = std::bit_cast<uint32_t>(v) == 0 && std::bit_cast<uint32_t>(m) == 0;
    kv[i] = zero ? kZero : kEscape;
    ku[i] = kZero;
    const auto placed = Place(v, m, anchors[i], grid, stretch);
    if (!placed) continue;
    kv[i] = static_cast<int16_t>(placed->v_index);
    ku[i] = static_cast<int16_t>(placed->u_index);
    const float step = static_cast<float>(placed->v_index) * grid.v_step;
    if (!denominators.empty()) denominators[i] = std::sqrt(Exp2(anchors[i] + step)) + grid.eps;
  }
  if (v_out.empty()) return {};
  std::vector<float> known_by_decoder(kv.size());
  ReconstructVRef(kv, anchors, grid, v_out, known_by_decoder);
  ReconstructMRef(kv, ku, known_by_decoder, grid, m_out);
  return MeasureErrorRef(v_bytes, m_bytes, anchors, grid, stretch);
}

void ReconstructVRef(std::span<const int16_t> kv, std::span<const float> anchors, const Grid& grid,
                     MutableBytes v, std::span<float> denominators) {
  for (size_t i = 0; i < kv.size(); ++i) {
    const float power = Exp2(anchors[i] + static_cast<float>(kv[i]) * grid.v_step);
    const float decoded = IsIndex(kv[i]) ? power : 0.0f;
    Store(decoded, v, i);
    denominators[i] = std::sqrt(decoded) + grid.eps;
  }
}

void ReconstructMRef(std::span<const int16_t> kv, std::span<const int16_t> ku,
                     std::span<const float> denominators, const Grid& grid, MutableBytes m) {
  for (size_t i = 0; i < ku.size(); ++i) {
    const float product = static_cast<float>(ku[i]) * grid.u_step * denominators[i];
    Store(!IsIndex(kv[i]) || std::abs(product) < kFlushBelow ? 0.0f : product, m, i);
  }
}

void IndexVRef(Bytes v_bytes, std::span<const float> anchors, const Grid& grid,
               std::span<int16_t> kv) {
  for (size_t i = 0; i < kv.size(); ++i) {
    const float v = Load(v_bytes, i);
    const float place = (Log2(IsNormal(v) ? v : 1.0f) - anchors[i]) * (1.0f / grid.v_step);
    kv[i] = static_cast<int16_t>(IsNormal(v) && InRange(place) ? Nearest(place, 0.5f) : 0);
  }
}

void IndexMRef(Bytes m, std::span<const float> denominators, const Grid& grid,
               std::span<int16_t> ku) {
  for (size_t i = 0; i < ku.size(); ++i) {
    const float place = Load(m, i) / denominators[i] * (1.0f / grid.u_step);
    ku[i] = static_cast<int16_t>(InRange(place) ? Nearest(place, 0.5f) : 0);
  }
}

void AddColumnsRef(int mean, std::span<const int8_t> columns, std::span<float> anchors) {
  for (size_t i = 0; i < anchors.size(); ++i) {
    const int sum = columns.empty() ? mean : mean + columns[i];
    anchors[i] = static_cast<float>(sum) / kMeanUnit;
  }
}

void LogVRef(Bytes v_bytes, int16_t otherwise, std::span<int16_t> logs) {
  for (size_t i = 0; i < logs.size(); ++i) {
    const float v = Load(v_bytes, i);
    const auto bits = std::bit_cast<int32_t>(v);
    logs[i] =
        IsNormal(v) ? static_cast<int16_t>((bits + kLogBias) >> (23 - kLogUnitBits)) : otherwise;
  }
}

UpdateSums MeasureErrorRef(Bytes v, Bytes m, std::span<const float> anchors, const Grid& grid,
                           Stretch stretch) {
  std::array<float, kSums> error2{};
  std::array<float, kSums> norm2{};
  std::array<float, kSums> along{};
  for (size_t i = 0; i < anchors.size(); ++i) {
    const auto placed = Place(Load(v, i), Load(m, i), anchors[i], grid, stretch);
    if (!placed) continue;
    const auto index = static_cast<float>(placed->u_counted);
    const float error = placed->u_place - index;
    error2[i % kSums] += error * error;
    norm2[i % kSums] += placed->u_place * placed->u_place;
    along[i % kSums] += placed->u_place * index;
  }
  UpdateSums sum;
  for (size_t lane = 0; lane < kSums; ++lane) {
    sum.Add({error2[lane], norm2[lane], along[lane]});
  }
  return sum;
}

void SplitRef(std::span<int16_t> indices, std::span<const int16_t> base, Prediction prediction,
              int shift, uint8_t zero_symbol, size_t elements, Half half,
              std::span<uint8_t> symbols, MutableBytes planes) {
  std::ranges::fill(planes, std::byte{0});
  for (size_t i = 0; i < elements; ++i) {
    const int residual = indices[i] - Predict(base, i, prediction);
    int symbol = (residual >> shift) + kMiddle;
    const bool special = !IsIndex(indices[i]);
    if (!special && (symbol <= kZeroSymbol || symbol > 15)) indices[i] = kEscape;
    if (indices[i] == kEscape) symbol = kEscapeSymbol;
    if (indices[i] == kZero) symbol = zero_symbol;
    symbols[i] = static_cast<uint8_t>(half == Half::kHigh ? symbol << 4 : symbols[i] | symbol);
    for (int b = 0; b < shift; ++b) {
      const std::byte bit{static_cast<uint8_t>((residual >> b & 1) << (i % 8))};
      planes[b * PlaneBytes(elements) + i / 8] |= bit;
    }
  }
}

void JoinRef(std::span<const uint8_t> symbols, const PlanesView& planes,
             std::span<const int16_t> base, Prediction prediction, int shift, size_t elements,
             Half half, std::span<int16_t> indices) {
  for (size_t i = 0; i < elements; ++i) {
    const int symbol = half == Half::kHigh ? symbols[i] >> 4 : symbols[i] & 15;
    int residual = (symbol - kMiddle) * (1 << shift);
    for (int b = 0; b < shift; ++b) {
      const std::byte bits = planes.first[b * planes.stride + i / 8];
      residual += (std::to_integer<int>(bits) >> (i % 8) & 1) << b;
    }
    const int index =
        symbol <= kZeroSymbol ? symbol + kEscape : residual + Predict(base, i, prediction);
    indices[i] = static_cast<int16_t>(index);
  }
}

}  // namespace bitsnap::adam
