#include "codec/adam/block.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "codec/adam/fit.h"
#include "codec/adam/kernel.h"
#include "codec/adam/kernel_residual.h"
#include "codec/entropy/plane.h"
#include "codec/entropy/rans.h"

namespace bitsnap::adam {
namespace {

constexpr size_t kFloat = sizeof(float);

// Pairs that are worked on at a time, a whole number of groups: what they take stays in the
// first-level cache.
constexpr size_t kTile = 1024;

// Slots of the scratch.
constexpr size_t kWorkSlot = 0;
constexpr size_t kStreamSlot = 1;

// Working memory of a block, carved from one slot.
struct Work {
  Work(size_t count, Scratch& scratch) : elements(count) {
    const size_t padded = (elements + kGroup - 1) / kGroup * kGroup;
    MutableBytes room =
        scratch.Get(kWorkSlot, kTile * kFloat + padded * (kFloat + 3 * sizeof(int16_t) + 1));
    anchors = Carve<float>(room, kTile);
    denominators = Carve<float>(room, padded);
    kv = Carve<int16_t>(room, padded);
    ku = Carve<int16_t>(room, padded);
    base = Carve<int16_t>(room, padded);
    symbols = Carve<uint8_t>(room, padded);
    // The kernels run over the last group's padding too.
    for (const auto indices : {kv, ku, base}) {
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
  std::span<int16_t> kv, ku, base;
  std::span<uint8_t> symbols;
};

PlaneKind KindOf(Bytes symbols) {
  if (std::memcmp(symbols.data(), symbols.data() + 1, symbols.size() - 1) == 0) {
    return PlaneKind::kConstant;
  }
  return symbols.size() < rans::kMinSymbols ? PlaneKind::kRaw : PlaneKind::kHuffman;
}

// What stands before a stream: how its indices are predicted and cut.
constexpr size_t kPlanBytes = 1 + sizeof(Prediction);

class Writer {
 public:
  explicit Writer(MutableBytes out) : out_(out) {}

  void Plan(const adam::Plan& plan) {
    out_[size_++] = static_cast<std::byte>(plan.shift);
    Copy(std::as_bytes(std::span(&plan.prediction, 1)));
  }
  void Symbols(std::span<const uint8_t> symbols) {
    PlaneWriter writer(out_.subspan(size_));
    writer.Write(KindOf(std::as_bytes(symbols)), std::as_bytes(symbols));
    size_ += writer.size();
  }
  MutableBytes Reserve(size_t bytes) {
    size_ += bytes;
    return out_.subspan(size_ - bytes, bytes);
  }
  void Copy(Bytes bytes) { std::ranges::copy(bytes, Reserve(bytes.size()).begin()); }

  size_t size() const { return size_; }

 private:
  MutableBytes out_;
  size_t size_ = 0;
};

// Plans and cuts one stream; writes all but the symbols.
void WriteStream(std::span<int16_t> indices, std::span<const int16_t> base, size_t elements,
                 Half half, std::span<uint8_t> symbols, Writer& writer) {
  const Plan plan = PlanBlock(indices.first(elements), base.empty() ? base : base.first(elements));
  writer.Plan(plan);
  const MutableBytes planes = writer.Reserve(plan.shift * PlaneBytes(elements));
  // That v and m are zero, the stream of v tells.
  const uint8_t zero_symbol = half == Half::kHigh ? kZeroSymbol : kMiddle;
  Split(indices, base, plan.prediction, plan.shift, zero_symbol, elements, half, symbols, planes);
}

// Calls body(position) for each pair that either stream escapes.
template <class Body>
void ForEscapes(std::span<const int16_t> kv, std::span<const int16_t> ku, Body body) {
  for (size_t first = 0; first < kv.size(); first += kGroup) {
    const size_t end = std::min(first + kGroup, kv.size());
    int any = 0;  // an integer, so that nothing branches
    for (size_t i = first; i < end; ++i) any |= int{kv[i] == kEscape} | int{ku[i] == kEscape};
    if (any == 0) continue;
    for (size_t i = first; i < end; ++i) {
      if (kv[i] == kEscape || ku[i] == kEscape) body(i);
    }
  }
}

struct StreamView {
  bool leans() const { return plan.prediction.slope != 0; }
  // From element `first` on.
  PlanesView PlanesFrom(size_t first, size_t elements) const {
    if (plan.shift == 0) return {};
    return {planes.subspan(first / 8), PlaneBytes(elements)};
  }

  Plan plan;
  Bytes planes;
};

bool ReadStream(ByteReader& reader, size_t elements, StreamView& view) {
  view.plan.shift = reader.Int<uint8_t>();
  view.plan.prediction.slope = reader.Int<int16_t>();
  view.plan.prediction.offset = reader.Int<int16_t>();
  if (!reader.ok() || view.plan.shift > kMaxShift) return false;
  view.planes = reader.Raw(view.plan.shift * PlaneBytes(elements));
  return reader.ok();
}

bool ReadSymbols(ByteReader& reader, MutableBytes work, std::span<uint8_t> symbols) {
  const MutableBytes bytes = std::as_writable_bytes(symbols);
  const std::byte* plane = ReadPlane(reader, bytes, work);
  if (!reader.ok() || plane == nullptr) return false;
  if (plane != bytes.data()) std::memcpy(bytes.data(), plane, bytes.size());
  return true;
}

// Exact values over the decoded ones.
void PatchEscapes(ByteReader& reader, std::span<const int16_t> kv, std::span<const int16_t> ku,
                  MutableBytes v, MutableBytes m) {
  ForEscapes(kv, ku, [&](size_t i) {
    std::ranges::copy(reader.Raw(kFloat), v.begin() + i * kFloat);
    std::ranges::copy(reader.Raw(kFloat), m.begin() + i * kFloat);
  });
}

// Decodes `count` pairs from `first` on; all of `work` but the symbols is theirs.
void DecodeTile(const BlockFrame& frame, size_t first, size_t count, const StreamView& v_stream,
                const StreamView& u_stream, const Work& work, const Moments<MutableBytes>& out) {
  const size_t elements = work.elements;
  const Grid& grid = frame.params.grid;
  const auto anchors = work.anchors.first(count), denominators = work.denominators.first(count);
  const auto kv = work.kv.first(count), ku = work.ku.first(count), base = work.base.first(count);
  const auto symbols = work.symbols.subspan(first);
  const auto of_base = [&](Bytes part) { return part.subspan(first * kFloat, count * kFloat); };

  FillAnchors(frame.params, frame.first + first, anchors);
  if (v_stream.leans()) IndexV(of_base(frame.base_v), anchors, grid, base);
  Join(symbols, v_stream.PlanesFrom(first, elements), work.base, v_stream.plan.prediction,
       v_stream.plan.shift, count, Half::kHigh, work.kv);
  ReconstructV(kv, anchors, grid, out.v, denominators);

  if (u_stream.leans()) IndexM(of_base(frame.base_m), denominators, grid, base);
  Join(symbols, u_stream.PlanesFrom(first, elements), work.base, u_stream.plan.prediction,
       u_stream.plan.shift, count, Half::kLow, work.ku);
  ReconstructM(kv, ku, denominators, grid, out.m);
}

tl::unexpected<Error> Corrupt(const char* what) {
  return Fail(ErrorKind::kCorrupt, std::string("adam block ") + what);
}

}  // namespace

size_t BlockBound(size_t elements) {
  return 2 * (kPlanBytes + kMaxShift * PlaneBytes(elements)) + PlaneBound(elements) +
         2 * elements * kFloat;
}

std::optional<LossyBlock> EncodeBlock(const BlockFrame& frame, const Moments<Bytes>& raw,
                                      size_t limit, MutableBytes out,
                                      const Moments<MutableBytes>& decoded, Scratch& scratch) {
  const size_t elements = raw.v.size() / kFloat;
  const Grid& grid = frame.params.grid;
  const bool has_base = !frame.base_v.empty();
  Work work(elements, scratch);
  UpdateSums sums;
  for (size_t first = 0; first < elements; first += kTile) {
    const size_t count = std::min(kTile, elements - first);
    const auto tile = [&](auto part) {
      return part.empty() ? part : part.subspan(first * kFloat, count * kFloat);
    };
    const auto anchors = work.anchors.first(count);
    const auto denominators = work.denominators.subspan(first, has_base ? count : 0);
    FillAnchors(frame.params, frame.first + first, anchors);
    const Quantized quantized{work.kv.subspan(first, count), work.ku.subspan(first, count),
                              denominators, tile(decoded.v), tile(decoded.m)};
    sums.Add(Quantize(tile(raw.v), tile(raw.m), anchors, grid, frame.params.stretch, quantized));
    if (has_base) IndexV(tile(frame.base_v), anchors, grid, work.base.subspan(first, count));
  }
  Writer writer(out);
  const auto base = has_base ? work.base : std::span<int16_t>();
  WriteStream(work.kv, base, elements, Half::kHigh, work.symbols, writer);
  if (has_base) {
    IndexM(frame.base_m, work.denominators.first(elements), grid, base.first(elements));
  }
  WriteStream(work.ku, base, elements, Half::kLow, work.symbols, writer);
  writer.Symbols(work.symbols.first(elements));

  ForEscapes(work.kv.first(elements), work.ku.first(elements), [&](size_t i) {
    const Bytes v = raw.v.subspan(i * kFloat, kFloat), m = raw.m.subspan(i * kFloat, kFloat);
    writer.Copy(v);
    writer.Copy(m);
    if (decoded.v.empty()) return;
    std::ranges::copy(v, decoded.v.begin() + i * kFloat);
    std::ranges::copy(m, decoded.m.begin() + i * kFloat);
  });
  if (writer.size() >= limit) return std::nullopt;
  return LossyBlock{writer.size(), sums};
}

Result<void> DecodeBlock(const BlockFrame& frame, Bytes coded, const Moments<MutableBytes>& out,
                         Scratch& scratch) {
  const size_t elements = out.v.size() / kFloat;
  Work work(elements, scratch);
  const MutableBytes stream = scratch.Get(kStreamSlot, PlaneWorkBytes(elements));
  ByteReader reader(coded);
  StreamView v_stream, u_stream;
  if (!ReadStream(reader, elements, v_stream)) return Corrupt("has a malformed stream of v");
  if (!ReadStream(reader, elements, u_stream)) return Corrupt("has a malformed stream of m");
  if (!ReadSymbols(reader, stream, work.symbols.first(elements))) {
    return Corrupt("has malformed symbols");
  }
  if ((v_stream.leans() || u_stream.leans()) && frame.base_v.empty()) {
    return Corrupt("leans on a base it lacks");
  }
  for (size_t first = 0; first < elements; first += kTile) {
    const size_t count = std::min(kTile, elements - first);
    const auto tile = [&](auto part) { return part.subspan(first * kFloat, count * kFloat); };
    const Moments<MutableBytes> moments{tile(out.v), tile(out.m)};
    DecodeTile(frame, first, count, v_stream, u_stream, work, moments);
    PatchEscapes(reader, work.kv.first(count), work.ku.first(count), moments.v, moments.m);
  }
  if (!reader.ok() || reader.remaining() != 0) {
    return Corrupt("has the wrong number of escaped values");
  }
  return {};
}

}  // namespace bitsnap::adam
