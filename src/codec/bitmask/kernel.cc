#include "codec/bitmask/kernel.h"

#include <bit>
#include <cstring>

#include "codec/bitmask/shuffles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/bitmask/kernel.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace bitsnap::bitmask::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Both kernels work on groups of this many words: 8 bytes of mask.
constexpr size_t kGroup = 64;

// A page: the hardware's prefetchers stop at its end, and this walks the next page's table entry in
// time. Worth a fifth of the speed on tensors that come from DRAM.
constexpr size_t kPrefetchBytes = 4096;

constexpr uint64_t LowBits(size_t count) { return (uint64_t{1} << count) - 1; }

template <class T>
HWY_INLINE auto LoadWords(hn::ScalableTag<T> d, const std::byte* p, size_t index) {
  return hn::LoadU(d, reinterpret_cast<const T*>(p) + index);
}

// The group that is `kPrefetchBytes` ahead; it may lie outside the buffer, where this does nothing.
template <class T>
HWY_INLINE void PrefetchGroup(const std::byte* p) {
  for (size_t i = 0; i < kGroup * sizeof(T); i += 64) hwy::Prefetch(p + kPrefetchBytes + i);
}

// The mask of one group.
template <class T>
HWY_INLINE uint64_t CompareGroup(const std::byte* base, const std::byte* raw) {
  const hn::ScalableTag<T> d;
  constexpr size_t kLanes = hn::MaxLanes(hn::ScalableTag<T>());
  uint64_t bits = 0;
  for (size_t i = 0; i < kGroup; i += kLanes) {
    uint64_t part = 0;
    const auto differs = hn::Ne(LoadWords<T>(d, base, i), LoadWords<T>(d, raw, i));
    hn::StoreMaskBits(d, differs, reinterpret_cast<uint8_t*>(&part));
    bits |= part << i;
  }
  return bits;
}

#if HWY_TARGET == HWY_SCALAR

template <class T>
std::byte* CompressGroup(const std::byte* raw, uint64_t bits, std::byte* values) {
  for (; bits != 0; bits &= bits - 1) {
    std::memcpy(values, raw + std::countr_zero(bits) * sizeof(T), sizeof(T));
    values += sizeof(T);
  }
  return values;
}

template <class T>
const std::byte* ExpandGroup(const std::byte* base, uint64_t bits, const std::byte* values,
                             std::byte* out) {
  for (size_t i = 0; i < kGroup; ++i) {
    const bool changed = bits >> i & 1;
    std::memcpy(out + i * sizeof(T), changed ? values : base + i * sizeof(T), sizeof(T));
    values += changed ? sizeof(T) : 0;
  }
  return values;
}

#else

// Appends the group's words whose bit is set; returns the end. Writes up to 16 bytes more. No
// branch skips a group without changes: mispredicted, it costs more than it saves. Nor do wider
// vectors help with this: their stores overlap more.
template <class T>
HWY_INLINE std::byte* CompressGroup(const std::byte* raw, uint64_t bits, std::byte* values) {
  using Table = Shuffles<sizeof(T)>;
  const hn::FixedTag<uint8_t, Table::kBytes> d;
  for (size_t i = 0; i < kGroup; i += Table::kLanes) {
    const uint64_t part = bits >> i & LowBits(Table::kLanes);
    const auto from = hn::LoadU(d, kShuffles<sizeof(T)>.compress[part].data());
    const auto v = hn::LoadU(d, reinterpret_cast<const uint8_t*>(raw) + i * sizeof(T));
    hn::StoreU(hn::TableLookupBytes(v, from), d, reinterpret_cast<uint8_t*>(values));
    values += sizeof(T) * hwy::PopCount(part);
  }
  return values;
}

// Writes one group. Reads up to 16 bytes past the values used; returns the values left.
template <class T>
HWY_INLINE const std::byte* ExpandGroup(const std::byte* base, uint64_t bits,
                                        const std::byte* values, std::byte* out) {
  using Table = Shuffles<sizeof(T)>;
  const hn::FixedTag<uint8_t, Table::kBytes> d;
  const hn::RebindToSigned<decltype(d)> di;
  for (size_t i = 0; i < kGroup; i += Table::kLanes) {
    const uint64_t part = bits >> i & LowBits(Table::kLanes);
    const auto from = hn::LoadU(d, kShuffles<sizeof(T)>.expand[part].data());
    const auto packed = hn::LoadU(d, reinterpret_cast<const uint8_t*>(values));
    const auto keep = hn::RebindMask(d, hn::Lt(hn::BitCast(di, from), hn::Zero(di)));
    const auto old = hn::LoadU(d, reinterpret_cast<const uint8_t*>(base) + i * sizeof(T));
    const auto merged = hn::IfThenElse(keep, old, hn::TableLookupBytesOr0(packed, from));
    hn::StoreU(merged, d, reinterpret_cast<uint8_t*>(out) + i * sizeof(T));
    values += sizeof(T) * hwy::PopCount(part);
  }
  return values;
}

#endif

template <class T>
size_t Pack(Bytes base_bytes, Bytes raw_bytes, size_t max_changed, MutableBytes out) {
  const std::byte* base = base_bytes.data();
  const std::byte* raw = raw_bytes.data();
  const size_t words = raw_bytes.size() / sizeof(T);
  std::byte* mask = out.data();
  std::byte* const values = mask + MaskBytes(words);
  std::byte* end = values;
  const std::byte* const limit = values + sizeof(T) * HWY_MIN(max_changed, words);

  for (size_t left = words / kGroup; left > 0; --left) {
    PrefetchGroup<T>(base);
    PrefetchGroup<T>(raw);
    const uint64_t bits = CompareGroup<T>(base, raw);
    std::memcpy(mask, &bits, sizeof(bits));
    end = CompressGroup<T>(raw, bits, end);
    if (end > limit) return (end - values) / sizeof(T);
    mask += sizeof(bits);
    base += kGroup * sizeof(T);
    raw += kGroup * sizeof(T);
  }

  if (const size_t tail = words % kGroup; tail > 0) {
    alignas(64) std::byte padded_base[kGroup * sizeof(T)] = {};
    alignas(64) std::byte padded_raw[kGroup * sizeof(T)] = {};
    std::memcpy(padded_base, base, tail * sizeof(T));
    std::memcpy(padded_raw, raw, tail * sizeof(T));
    const uint64_t bits = CompareGroup<T>(padded_base, padded_raw);
    std::memcpy(mask, &bits, MaskBytes(tail));
    end = CompressGroup<T>(padded_raw, bits, end);
  }
  return (end - values) / sizeof(T);
}

template <class T>
void Unpack(Bytes base_bytes, Bytes mask_bytes, Bytes value_bytes, MutableBytes out_bytes) {
  constexpr size_t kGroupBytes = kGroup * sizeof(T);
  // What one ExpandGroup may read from the values.
  constexpr size_t kReach = kGroupBytes + 16;
  const std::byte* base = base_bytes.data();
  const std::byte* mask = mask_bytes.data();
  const std::byte* values = value_bytes.data();
  const std::byte* values_end = values + value_bytes.size();
  std::byte* out = out_bytes.data();
  const size_t words = out_bytes.size() / sizeof(T);

  // The last values move to a padded buffer before a vector load could run past their end.
  alignas(64) std::byte padded_values[2 * kReach] = {};
  bool padded = false;
  const auto stay_inside = [&] {
    const size_t left = values_end - values;
    if (padded || left >= kReach) return;
    std::memcpy(padded_values, values, left);
    values = padded_values;
    padded = true;
  };

  for (size_t left = words / kGroup; left > 0; --left) {
    PrefetchGroup<T>(base);
    uint64_t bits;
    std::memcpy(&bits, mask, sizeof(bits));
    stay_inside();
    PrefetchGroup<T>(values);
    values = ExpandGroup<T>(base, bits, values, out);
    mask += sizeof(bits);
    base += kGroupBytes;
    out += kGroupBytes;
  }

  if (const size_t tail = words % kGroup; tail > 0) {
    alignas(64) std::byte padded_base[kGroupBytes] = {};
    alignas(64) std::byte padded_out[kGroupBytes];
    uint64_t bits = 0;
    std::memcpy(&bits, mask, MaskBytes(tail));
    std::memcpy(padded_base, base, tail * sizeof(T));
    stay_inside();
    ExpandGroup<T>(padded_base, bits, values, padded_out);
    std::memcpy(out, padded_out, tail * sizeof(T));
  }
}

// Calls `f` with a value of the unsigned type of `word_bytes` bytes.
template <class F>
auto WithWord(size_t word_bytes, const F& f) {
  if (word_bytes == 1) return f(uint8_t{});
  if (word_bytes == 2) return f(uint16_t{});
  if (word_bytes == 4) return f(uint32_t{});
  return f(uint64_t{});
}

size_t PackAny(size_t word_bytes, Bytes base, Bytes raw, size_t max_changed, MutableBytes out) {
  return WithWord(word_bytes,
                  [&](auto word) { return Pack<decltype(word)>(base, raw, max_changed, out); });
}

void UnpackAny(size_t word_bytes, Bytes base, Bytes mask, Bytes values, MutableBytes out) {
  WithWord(word_bytes, [&](auto word) { Unpack<decltype(word)>(base, mask, values, out); });
}

size_t Count(Bytes mask) {
  size_t bits = 0;
  for (; mask.size() >= 8; mask = mask.subspan(8)) {
    uint64_t part;
    std::memcpy(&part, mask.data(), sizeof(part));
    bits += hwy::PopCount(part);
  }
  uint64_t part = 0;
  std::memcpy(&part, mask.data(), mask.size());
  return bits + hwy::PopCount(part);
}

}  // namespace bitsnap::bitmask::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bitsnap::bitmask {

HWY_EXPORT(PackAny);
HWY_EXPORT(UnpackAny);
HWY_EXPORT(Count);

size_t PackChanged(size_t word_bytes, Bytes base, Bytes raw, size_t max_changed, MutableBytes out) {
  return HWY_DYNAMIC_DISPATCH(PackAny)(word_bytes, base, raw, max_changed, out);
}

size_t CountBits(Bytes mask) { return HWY_DYNAMIC_DISPATCH(Count)(mask); }

void UnpackChanged(size_t word_bytes, Bytes base, Bytes mask, Bytes values, MutableBytes out) {
  HWY_DYNAMIC_DISPATCH(UnpackAny)(word_bytes, base, mask, values, out);
}

}  // namespace bitsnap::bitmask
#endif  // HWY_ONCE
