#include "codec/adam/kernel.h"

#include <array>
#include <cstring>

#include "codec/adam/math.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/adam/kernel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace bitsnap::adam::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// kernel_ref.cc says what each of these computes; the order of operations is the same.

template <class D>
using Signed = hn::RebindToSigned<D>;

// At any alignment, which Highway's single lanes of float do not allow.
template <class D>
HWY_INLINE hn::VFromD<D> LoadFloats(D d, Bytes bytes, size_t i) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    float value;
    std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
    return hn::Set(d, value);
  } else {
    return hn::LoadU(d, reinterpret_cast<const float*>(bytes.data()) + i);
  }
}

template <class D>
HWY_INLINE void StoreFloats(D d, hn::VFromD<D> values, MutableBytes bytes, size_t i) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    const float value = hn::GetLane(values);
    std::memcpy(bytes.data() + i * sizeof(value), &value, sizeof(value));
  } else {
    hn::StoreU(values, d, reinterpret_cast<float*>(bytes.data()) + i);
  }
}

template <class D>
HWY_INLINE auto LoadIndices(D, std::span<const int16_t> indices, size_t i) {
  const hn::Rebind<int16_t, D> d16;
  return hn::PromoteTo(Signed<D>(), hn::LoadU(d16, indices.data() + i));
}

template <class D, class V>
HWY_INLINE void StoreIndices(D, V value, std::span<int16_t> indices, size_t i) {
  const hn::Rebind<int16_t, D> d16;
  hn::StoreU(hn::DemoteTo(d16, value), d16, indices.data() + i);
}

template <class D, size_t N>
HWY_INLINE hn::VFromD<D> Log2(D d, const float (&coefficients)[N], hn::VFromD<D> x) {
  const Signed<D> di;
  const auto bits = hn::BitCast(di, x);
  const auto exponent = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, kSqrtHalfBits)));
  const auto one_plus_t = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(exponent)));
  const auto t = hn::Sub(one_plus_t, hn::Set(d, 1.0f));
  auto p = hn::Set(d, coefficients[N - 1]);
  for (size_t k = N - 1; k-- > 0;) p = hn::Add(hn::Mul(p, t), hn::Set(d, coefficients[k]));
  return hn::Add(hn::ConvertTo(d, exponent), hn::Mul(t, p));
}

template <class D>
HWY_INLINE hn::VFromD<D> InExponents(D d, hn::VFromD<D> x) {
  return hn::Min(hn::Max(x, hn::Set(d, kMinExponent)), hn::Set(d, kMaxExponent));
}

template <class D>
HWY_INLINE hn::VFromD<D> Exp2(D d, hn::VFromD<D> x) {
  const Signed<D> di;
  x = InExponents(d, x);
  const auto whole = hn::Floor(x);
  const auto f = hn::Sub(x, whole);
  auto p = hn::Set(d, kExp2[3]);
  for (int k = 2; k >= 0; --k) p = hn::Add(hn::Mul(p, f), hn::Set(d, kExp2[k]));
  const auto power = hn::Add(hn::Set(d, 1.0f), hn::Mul(f, p));
  const auto exponent = hn::ShiftLeft<23>(hn::ConvertTo(di, whole));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, power), exponent));
}

template <class D>
HWY_INLINE hn::VFromD<D> RoughExp2(D d, hn::VFromD<D> x) {
  const auto p = hn::Add(hn::Mul(x, hn::Set(d, kRoughExp2[1])), hn::Set(d, kRoughExp2[0]));
  return hn::Add(hn::Set(d, 1.0f), hn::Mul(x, p));
}

template <class D>
HWY_INLINE auto IsNormal(D d, hn::VFromD<D> v) {
  return hn::And(hn::Ge(v, hn::Set(d, kMinNormal)), hn::Lt(v, hn::Set(d, kMaxNormal)));
}

template <class D>
HWY_INLINE auto InRange(D d, hn::VFromD<D> place) {
  return hn::Lt(hn::Abs(place), hn::Set(d, static_cast<float>(kMaxIndex)));
}

// As floats. Requires: InRange(place).
template <class D>
HWY_INLINE hn::VFromD<D> Nearest(D d, hn::VFromD<D> place, float zone) {
  if (zone == 0.5f) return hn::Round(place);  // to even
  const auto far = hn::Ge(hn::Abs(place), hn::Set(d, zone));
  return hn::IfThenElseZero(far, hn::Round(place));
}

// What the loops need of a grid.
struct Scale {
  explicit Scale(const Grid& g, Stretch s = 1)
      : grid(g),
        half_v_step(0.5f * g.v_step),
        inverse_v(1.0f / g.v_step),
        inverse_u(1.0f / g.u_step),
        stretched_inverse_u(inverse_u * s),
        v_zone(ZoneOfV(g)),
        u_zone(ZoneOfU(g)),
        may_flush(MayFlush(g)),
        max_update(MaxUpdateIndex(g)) {}
  Grid grid;
  float half_v_step;
  float inverse_v, inverse_u, stretched_inverse_u;
  float v_zone, u_zone;
  bool may_flush;
  float max_update;
};

// Pairs on their grids, with zeros where not `known`.
template <class D>
struct Placed {
  hn::VFromD<D> v_index;  // a whole number, and so is u_index
  hn::VFromD<D> u_index;
  hn::VFromD<D> u_place;    // of u itself, with the exact v, as it counts: see kLeastPlace
  hn::VFromD<D> u_counted;  // u_index, or 0 where m^ will be flushed
  decltype(hn::MaskFromVec(hn::VFromD<D>())) known;
};

template <class D, class V>
HWY_INLINE Placed<D> Place(D d, V v, V m, V anchor, const Scale& scale) {
  const auto v_fits = hn::And(hn::Ge(v, hn::Set(d, kMinNormal)), hn::Lt(v, hn::Set(d, kMaxPlaced)));
  v = hn::IfThenElse(v_fits, v, hn::Set(d, 1.0f));
  auto v_place = hn::Mul(hn::Sub(Log2(d, kRoughLog2, v), anchor), hn::Set(d, scale.inverse_v));
  const auto v_known = hn::And(v_fits, InRange(d, v_place));
  v_place = hn::IfThenElseZero(v_known, v_place);
  const auto v_index = Nearest(d, v_place, scale.v_zone);

  const auto eps = hn::Set(d, scale.grid.eps);
  const auto root = hn::Sqrt(v);
  const auto ratio =
      RoughExp2(d, hn::Mul(hn::Sub(v_index, v_place), hn::Set(d, scale.half_v_step)));
  const auto exact = hn::Add(root, eps);
  const auto rounded = hn::Add(hn::Mul(root, ratio), eps);
  // One division for both of m / exact and m / rounded.
  const auto share = hn::Mul(m, hn::Div(hn::Set(d, 1.0f), hn::Mul(exact, rounded)));
  const auto place = hn::Mul(hn::Mul(share, rounded), hn::Set(d, scale.inverse_u));
  const auto want = hn::Mul(hn::Mul(share, exact), hn::Set(d, scale.stretched_inverse_u));
  const auto known = hn::And(v_known, hn::Lt(hn::Abs(want), hn::Set(d, scale.max_update)));
  const auto u_index = Nearest(d, hn::IfThenElseZero(known, want), scale.u_zone);
  const auto m_bits = hn::BitCast(Signed<D>(), m);
  const auto is_zero = hn::RebindMask(d, hn::Eq(hn::Add(m_bits, m_bits), hn::Zero(Signed<D>())));
  const auto least = hn::IfThenZeroElse(is_zero, hn::Set(d, kLeastPlace));
  const auto counted = hn::IfThenElse(hn::Lt(hn::Abs(place), least), least, place);
  auto u_counted = u_index;
  if (scale.may_flush) {
    const auto decoded = hn::Mul(hn::Mul(u_index, hn::Set(d, scale.grid.u_step)), rounded);
    const auto flushed = hn::Lt(hn::Abs(decoded), hn::Set(d, kMayFlushBelow));
    u_counted = hn::IfThenZeroElse(flushed, u_index);
  }
  return {v_index, u_index, hn::IfThenElseZero(known, counted), u_counted, known};
}

template <class D, class V>
HWY_INLINE V DecodedM(D d, V u_index, V denominator, const Grid& grid) {
  const auto product = hn::Mul(hn::Mul(u_index, hn::Set(d, grid.u_step)), denominator);
  return hn::IfThenZeroElse(hn::Lt(hn::Abs(product), hn::Set(d, kFlushBelow)), product);
}

// Calls body(d, i) for vectors and then for single elements, which all bodies treat alike.
template <class Body>
HWY_INLINE void ForEach(size_t count, Body body) {
  const hn::ScalableTag<float> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) body(d, i);
  for (; i < count; ++i) body(hn::CappedTag<float, 1>(), i);
}

// The sums of MeasureError.
class Sums {
 public:
  template <class D, class V>
  HWY_INLINE void Add(D d, size_t i, V place, V index) {
    const auto error = hn::Sub(place, index);
    AddTo(d, &error2_[i % kSums], hn::Mul(error, error));
    AddTo(d, &norm2_[i % kSums], hn::Mul(place, place));
    AddTo(d, &along_[i % kSums], hn::Mul(place, index));
  }

  UpdateSums Total() const {
    UpdateSums sum;
    for (size_t lane = 0; lane < kSums; ++lane) {
      sum.Add({error2_[lane], norm2_[lane], along_[lane]});
    }
    return sum;
  }

 private:
  template <class D, class V>
  static HWY_INLINE void AddTo(D d, float* sums, V value) {
    hn::StoreU(hn::Add(hn::LoadU(d, sums), value), d, sums);
  }

  alignas(64) std::array<float, kSums> error2_{};
  alignas(64) std::array<float, kSums> norm2_{};
  alignas(64) std::array<float, kSums> along_{};
};

template <bool kTell>  // v, m and what is lost
UpdateSums QuantizeAs(Bytes v_bytes, Bytes m_bytes, std::span<const float> anchors,
                      const Scale& scale, const Quantized& out) {
  Sums sums;
  ForEach(out.kv.size(), [&](auto d, size_t i) HWY_ATTR {
    const Signed<decltype(d)> di;
    const auto v = LoadFloats(d, v_bytes, i);
    const auto m = LoadFloats(d, m_bytes, i);
    const auto anchor = hn::LoadU(d, anchors.data() + i);
    const auto placed = Place(d, v, m, anchor, scale);
    const auto bits = hn::Or(hn::BitCast(di, v), hn::BitCast(di, m));
    const auto special = hn::IfThenElse(hn::Eq(bits, hn::Zero(di)), hn::Set(di, int32_t{kZero}),
                                        hn::Set(di, int32_t{kEscape}));
    const auto known = hn::RebindMask(di, placed.known);
    StoreIndices(d, hn::IfThenElse(known, hn::ConvertTo(di, placed.v_index), special), out.kv, i);
    StoreIndices(
        d, hn::IfThenElse(known, hn::ConvertTo(di, placed.u_index), hn::Set(di, int32_t{kZero})),
        out.ku, i);
    if (!kTell && out.denominators.empty()) return;
    const auto step = hn::Mul(placed.v_index, hn::Set(d, scale.grid.v_step));
    const auto decoded = Exp2(d, hn::Add(anchor, step));
    const auto denominator = hn::Add(hn::Sqrt(decoded), hn::Set(d, scale.grid.eps));
    if (!out.denominators.empty()) hn::StoreU(denominator, d, out.denominators.data() + i);
    if constexpr (kTell) {
      StoreFloats(d, hn::IfThenElseZero(placed.known, decoded), out.v, i);
      StoreFloats(d, DecodedM(d, placed.u_index, denominator, scale.grid), out.m, i);
      sums.Add(d, i, placed.u_place, placed.u_counted);
    }
  });
  return sums.Total();
}

UpdateSums Quantize(Bytes v, Bytes m, std::span<const float> anchors, const Grid& grid,
                    Stretch stretch, const Quantized& out) {
  return (out.v.empty() ? QuantizeAs<false> : QuantizeAs<true>)(v, m, anchors, Scale(grid, stretch),
                                                                out);
}

void ReconstructV(std::span<const int16_t> kv, std::span<const float> anchors, const Grid& grid,
                  MutableBytes v, std::span<float> denominators) {
  ForEach(kv.size(), [&](auto d, size_t i) HWY_ATTR {
    const Signed<decltype(d)> di;
    const auto k = LoadIndices(d, kv, i);
    const auto anchor = hn::LoadU(d, anchors.data() + i);
    const auto step = hn::Mul(hn::ConvertTo(d, k), hn::Set(d, grid.v_step));
    const auto known = hn::RebindMask(d, hn::Gt(k, hn::Set(di, int32_t{kZero})));
    const auto decoded = hn::IfThenElseZero(known, Exp2(d, hn::Add(anchor, step)));
    StoreFloats(d, decoded, v, i);
    const auto denominator = hn::Add(hn::Sqrt(decoded), hn::Set(d, grid.eps));
    hn::StoreU(denominator, d, denominators.data() + i);
  });
}

void ReconstructM(std::span<const int16_t> kv, std::span<const int16_t> ku,
                  std::span<const float> denominators, const Grid& grid, MutableBytes m) {
  ForEach(ku.size(), [&](auto d, size_t i) HWY_ATTR {
    const Signed<decltype(d)> di;
    const auto k = LoadIndices(d, ku, i);
    const auto denominator = hn::LoadU(d, denominators.data() + i);
    const auto decoded = DecodedM(d, hn::ConvertTo(d, k), denominator, grid);
    const auto special =
        hn::RebindMask(d, hn::Lt(LoadIndices(d, kv, i), hn::Set(di, int32_t{kZero + 1})));
    StoreFloats(d, hn::IfThenZeroElse(special, decoded), m, i);
  });
}

void IndexV(Bytes v_bytes, std::span<const float> anchors, const Grid& grid,
            std::span<int16_t> kv) {
  const Scale scale(grid);
  ForEach(kv.size(), [&](auto d, size_t i) HWY_ATTR {
    const auto v = LoadFloats(d, v_bytes, i);
    const auto normal = IsNormal(d, v);
    const auto log = Log2(d, kLog2, hn::IfThenElse(normal, v, hn::Set(d, 1.0f)));
    const auto place =
        hn::Mul(hn::Sub(log, hn::LoadU(d, anchors.data() + i)), hn::Set(d, scale.inverse_v));
    const auto known = hn::And(normal, InRange(d, place));
    const auto index = Nearest(d, hn::IfThenElseZero(known, place), 0.5f);
    StoreIndices(d, hn::ConvertTo(Signed<decltype(d)>(), index), kv, i);
  });
}

void IndexM(Bytes m, std::span<const float> denominators, const Grid& grid, std::span<int16_t> ku) {
  const Scale scale(grid);
  ForEach(ku.size(), [&](auto d, size_t i) HWY_ATTR {
    const auto u = hn::Div(LoadFloats(d, m, i), hn::LoadU(d, denominators.data() + i));
    const auto place = hn::Mul(u, hn::Set(d, scale.inverse_u));
    const auto index = Nearest(d, hn::IfThenElseZero(InRange(d, place), place), 0.5f);
    StoreIndices(d, hn::ConvertTo(Signed<decltype(d)>(), index), ku, i);
  });
}

void AddColumns(int mean, std::span<const int8_t> columns, std::span<float> anchors) {
  constexpr float kUnit = 1.0f / kMeanUnit;
  ForEach(anchors.size(), [&](auto d, size_t i) HWY_ATTR {
    const Signed<decltype(d)> di;
    const hn::Rebind<int8_t, decltype(d)> d8;
    auto sum = hn::Set(di, int32_t{mean});
    if (!columns.empty()) {
      sum = hn::Add(sum, hn::PromoteTo(di, hn::LoadU(d8, columns.data() + i)));
    }
    hn::StoreU(hn::Mul(hn::ConvertTo(d, sum), hn::Set(d, kUnit)), d, anchors.data() + i);
  });
}

void LogV(Bytes v_bytes, int16_t otherwise, std::span<int16_t> logs) {
  ForEach(logs.size(), [&](auto d, size_t i) HWY_ATTR {
    const Signed<decltype(d)> di;
    const auto v = LoadFloats(d, v_bytes, i);
    const auto biased = hn::Add(hn::BitCast(di, v), hn::Set(di, kLogBias));
    const auto scaled = hn::ShiftRight<23 - kLogUnitBits>(biased);
    const auto result =
        hn::IfThenElse(hn::RebindMask(di, IsNormal(d, v)), scaled, hn::Set(di, int32_t{otherwise}));
    StoreIndices(d, result, logs, i);
  });
}

UpdateSums MeasureError(Bytes v_bytes, Bytes m_bytes, std::span<const float> anchors,
                        const Grid& grid, Stretch stretch) {
  Sums sums;
  const Scale scale(grid, stretch);
  ForEach(anchors.size(), [&](auto d, size_t i) HWY_ATTR {
    const auto v = LoadFloats(d, v_bytes, i);
    const auto m = LoadFloats(d, m_bytes, i);
    const auto placed = Place(d, v, m, hn::LoadU(d, anchors.data() + i), scale);
    sums.Add(d, i, placed.u_place, placed.u_counted);
  });
  return sums.Total();
}

}  // namespace bitsnap::adam::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::adam {

HWY_EXPORT(Quantize);
HWY_EXPORT(ReconstructV);
HWY_EXPORT(ReconstructM);
HWY_EXPORT(IndexV);
HWY_EXPORT(IndexM);
HWY_EXPORT(AddColumns);
HWY_EXPORT(LogV);
HWY_EXPORT(MeasureError);

UpdateSums Quantize(Bytes v, Bytes m, std::span<const float> anchors, const Grid& grid,
                    Stretch stretch, const Quantized& out) {
  return HWY_DYNAMIC_DISPATCH(Quantize)(v, m, anchors, grid, stretch, out);
}

void ReconstructV(std::span<const int16_t> kv, std::span<const float> anchors, const Grid& grid,
                  MutableBytes v, std::span<float> denominators) {
  HWY_DYNAMIC_DISPATCH(ReconstructV)(kv, anchors, grid, v, denominators);
}

void ReconstructM(std::span<const int16_t> kv, std::span<const int16_t> ku,
                  std::span<const float> denominators, const Grid& grid, MutableBytes m) {
  HWY_DYNAMIC_DISPATCH(ReconstructM)(kv, ku, denominators, grid, m);
}

void IndexV(Bytes v, std::span<const float> anchors, const Grid& grid, std::span<int16_t> kv) {
  HWY_DYNAMIC_DISPATCH(IndexV)(v, anchors, grid, kv);
}

void IndexM(Bytes m, std::span<const float> denominators, const Grid& grid, std::span<int16_t> ku) {
  HWY_DYNAMIC_DISPATCH(IndexM)(m, denominators, grid, ku);
}

void AddColumns(int mean, std::span<const int8_t> columns, std::span<float> anchors) {
  HWY_DYNAMIC_DISPATCH(AddColumns)(mean, columns, anchors);
}

void LogV(Bytes v, int16_t otherwise, std::span<int16_t> logs) {
  HWY_DYNAMIC_DISPATCH(LogV)(v, otherwise, logs);
}

UpdateSums MeasureError(Bytes v, Bytes m, std::span<const float> anchors, const Grid& grid,
                        Stretch stretch) {
  return HWY_DYNAMIC_DISPATCH(MeasureError)(v, m, anchors, grid, stretch);
}

}  // namespace bitsnap::adam
#endif  // HWY_ONCE
