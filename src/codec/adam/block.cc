#include "codec/adam/block.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/try.h"
#include "codec/adam/fit.h"
#include "codec/adam/kernel.h"
#include "codec/adam/kernel_residual.h"
#include "codec/adam/payload.h"
#include "codec/entropy/plane.h"

namespace bitsnap::adam {
namespace {

// Slots of the scratch.
constexpr size_t kWorkSlot = 0;
constexpr size_t kStreamSlot = 1;
constexpr size_t kBaseSlot = 2;

// Working memory of a block, carved from one slot.
struct Work {
  Work(size_t count, Scratch& scratch) : elements(count) {
    const size_t padded = WholeGroups(elements);
    MutableBytes room =
        scratch.Get(kWorkSlot, kTile * kFloat + padded * (kFloat + 4 * sizeof(int16_t) + 1));
    anchors = Carve<float>(room, kTile);
    denominators = Carve<float>(room, padded);
    kv = Carve<int16_t>(room, padded);
    ku = Carve<int16_t>(room, padded);
    base_v = Carve<int16_t>(room, padded);
    base_u = Carve<int16_t>(room, padded);
    symbols = Carve<uint8_t>(room, padded);
  }

  // The kernels of the encoder run over the last group's padding too.
  void ClearPadding() const {
    for (const auto indices : {kv, ku, base_v, base_u}) {
      std::ranges::fill(indices.subspan(elements), int16_t{0});
    }
  }

  template <class T>
  static std::span<T> Carve(MutableBytes& room, size_t count) {
    const std::span<T> part(reinterpret_cast<T*>(room.data()), count);
    room = room.subspan(part.size_bytes());
    return part;
  }

  size_t elements;
  std::span<float> anchors;  // of a tile
  std::span<float> denominators;
  std::span<int16_t> kv, ku, base_v, base_u;
  std::span<uint8_t> symbols;
};

bool HasBase(const BlockFrame& frame) {
  return frame.coded_base != nullptr || !frame.base_v.empty();
}

Result<BaseIndices> OpenBase(const BlockFrame& frame, Scratch& scratch) {
  return BaseIndices::Open(*frame.coded_base, kBaseSlot, kStreamSlot, scratch);
}

// All of a coded base's indices. False where it is malformed.
bool ReadBase(const BlockFrame& frame, const Work& work, Scratch& scratch) {
  auto base = OpenBase(frame, scratch);
  if (!base) return false;
  for (size_t first = 0; first < work.elements; first += kTile) {
    const size_t count = std::min(kTile, work.elements - first);
    if (!base->Next(count, work.base_v.subspan(first), work.base_u.subspan(first))) return false;
  }
  return true;
}

// Plans and cuts one stream; writes all but the symbols. `base` is empty or has all elements.
void WriteStream(std::span<int16_t> indices, std::span<const int16_t> base, size_t elements,
                 Half half, std::span<uint8_t> symbols, PayloadWriter& writer) {
  const Plan plan = PlanBlock(indices.first(elements), base.empty() ? base : base.first(elements));
  writer.Plan(plan);
  const MutableBytes planes = writer.Reserve(plan.shift * PlaneBytes(elements));
  // That v and m are zero, the stream of v tells.
  const uint8_t zero_symbol = half == Half::kHigh ? kZeroSymbol : kMiddle;
  Split(indices, base, plan.prediction, plan.shift, zero_symbol, elements, half, symbols, planes);
}

// Exact values over the decoded ones.
void PatchEscapes(ByteReader& reader, std::span<const int16_t> kv, std::span<const int16_t> ku,
                  const Moments<MutableBytes>& out) {
  ForEscapes(kv, ku, [&](size_t i) {
    std::ranges::copy(reader.Raw(kFloat), out.v.begin() + i * kFloat);
    std::ranges::copy(reader.Raw(kFloat), out.m.begin() + i * kFloat);
  });
}

float FloatAt(Bytes floats, size_t i) {
  float value;
  std::memcpy(&value, floats.data() + i * kFloat, kFloat);
  return value;
}

// What Quantize counted as lost of a pair that comes back exactly, since its residual fits no
// symbol. `decoded` is what it left.
UpdateSums NotLost(const Grid& grid, const Moments<Bytes>& raw, const Moments<Bytes>& decoded,
                   size_t i) {
  const float v = FloatAt(decoded.v, i);
  if (v == 0) return {};  // no index: not counted
  const auto place = [&](float of_v, float m) {
    return double{m} / (std::sqrt(double{of_v}) + grid.eps) / grid.u_step;
  };
  const double exact = place(FloatAt(raw.v, i), FloatAt(raw.m, i));
  const double lossy = place(v, FloatAt(decoded.m, i));
  return {.error2 = -(exact - lossy) * (exact - lossy), .along = exact * (exact - lossy)};
}

// Decodes `count` pairs from `first` on; all of `work` but the symbols is theirs. The indices of a
// coded base are there already.
void DecodeTile(const BlockFrame& frame, size_t first, size_t count, const Streams& streams,
                const Work& work, const Moments<MutableBytes>& out) {
  const Grid& grid = frame.params.grid;
  const auto anchors = work.anchors.first(count), denominators = work.denominators.first(count);
  const auto kv = work.kv.first(count), ku = work.ku.first(count);
  const bool decoded_base = !frame.base_v.empty();
  const auto of_base = [&](Bytes part) { return part.subspan(first * kFloat, count * kFloat); };
  const auto join = [&](const StreamView& stream, std::span<const int16_t> base, Half half,
                        std::span<int16_t> indices) {
    Join(work.symbols.subspan(first), stream.PlanesFrom(first, work.elements), base,
         stream.plan.prediction, stream.plan.shift, count, half, indices);
  };

  FillAnchors(frame.params, frame.first + first, anchors);
  if (decoded_base && streams.v.leans()) {
    IndexV(of_base(frame.base_v), anchors, grid, work.base_v.first(count));
  }
  join(streams.v, work.base_v, Half::kHigh, work.kv);
  ReconstructV(kv, anchors, grid, out.v, denominators);

  if (decoded_base && streams.u.leans()) {
    IndexM(of_base(frame.base_m), denominators, grid, work.base_u.first(count));
  }
  join(streams.u, work.base_u, Half::kLow, work.ku);
  ReconstructM(kv, ku, denominators, grid, out.m);
}

}  // namespace

size_t BlockBound(size_t elements) {
  return 2 * (kPlanBytes + kMaxShift * PlaneBytes(elements)) + PlaneBound(elements) +
         2 * elements * kFloat;
}

std::optional<Encoded> EncodeBlock(const BlockFrame& frame, const Moments<Bytes>& raw, size_t limit,
                                   MutableBytes out, const Moments<MutableBytes>& decoded,
                                   Scratch& scratch) {
  const size_t elements = raw.v.size() / kFloat;
  const Grid& grid = frame.params.grid;
  const bool decoded_base = !frame.base_v.empty();
  Work work(elements, scratch);
  if (frame.coded_base != nullptr && !ReadBase(frame, work, scratch)) return std::nullopt;
  work.ClearPadding();
  UpdateSums sums;
  for (size_t first = 0; first < elements; first += kTile) {
    const size_t count = std::min(kTile, elements - first);
    const auto tile = [&](auto part) {
      return part.empty() ? part : part.subspan(first * kFloat, count * kFloat);
    };
    const auto anchors = work.anchors.first(count);
    const auto denominators = work.denominators.subspan(first, decoded_base ? count : 0);
    FillAnchors(frame.params, frame.first + first, anchors);
    const Quantized quantized{work.kv.subspan(first, count), work.ku.subspan(first, count),
                              denominators, tile(decoded.v), tile(decoded.m)};
    sums.Add(Quantize(tile(raw.v), tile(raw.m), anchors, grid, frame.params.stretch, quantized));
    if (decoded_base) IndexV(tile(frame.base_v), anchors, grid, work.base_v.subspan(first, count));
  }
  if (decoded_base) {
    IndexM(frame.base_m, work.denominators.first(elements), grid, work.base_u.first(elements));
  }
  PayloadWriter writer(out);
  const auto if_any = [&](std::span<const int16_t> base) {
    return HasBase(frame) ? base : std::span<const int16_t>();
  };
  WriteStream(work.kv, if_any(work.base_v), elements, Half::kHigh, work.symbols, writer);
  WriteStream(work.ku, if_any(work.base_u), elements, Half::kLow, work.symbols, writer);
  writer.Symbols(work.symbols.first(elements));

  ForEscapes(work.kv.first(elements), work.ku.first(elements), [&](size_t i) {
    const Bytes v = raw.v.subspan(i * kFloat, kFloat), m = raw.m.subspan(i * kFloat, kFloat);
    writer.Copy(v);
    writer.Copy(m);
    if (decoded.v.empty()) return;
    sums.Add(NotLost(grid, raw, {decoded.v, decoded.m}, i));
    std::ranges::copy(v, decoded.v.begin() + i * kFloat);
    std::ranges::copy(m, decoded.m.begin() + i * kFloat);
  });
  if (writer.size() >= limit) return std::nullopt;
  return Encoded{writer.size(), sums};
}

Result<void> DecodeBlock(const BlockFrame& frame, Bytes coded, const Moments<MutableBytes>& out,
                         Scratch& scratch) {
  const size_t elements = out.v.size() / kFloat;
  Work work(elements, scratch);
  std::optional<BaseIndices> base;
  if (frame.coded_base != nullptr) {
    BITSNAP_ASSIGN(base, OpenBase(frame, scratch));
  }
  ByteReader reader(coded);
  BITSNAP_ASSIGN(
      const Streams streams,
      ReadStreams(reader, scratch.Get(kStreamSlot, kPlaneWorkBytes), work.symbols.first(elements)));
  if ((streams.v.leans() || streams.u.leans()) && !HasBase(frame)) {
    return CorruptBlock("leans on a base it lacks");
  }
  for (size_t first = 0; first < elements; first += kTile) {
    const size_t count = std::min(kTile, elements - first);
    const auto tile = [&](auto part) { return part.subspan(first * kFloat, count * kFloat); };
    const Moments<MutableBytes> moments{tile(out.v), tile(out.m)};
    if (base) BITSNAP_TRY(base->Next(count, work.base_v, work.base_u));
    DecodeTile(frame, first, count, streams, work, moments);
    PatchEscapes(reader, work.kv.first(count), work.ku.first(count), moments);
  }
  if (!reader.ok() || reader.remaining() != 0) {
    return CorruptBlock("has the wrong number of escaped values");
  }
  return {};
}

}  // namespace bitsnap::adam
