#include "codec/adam/base_indices.h"

#include <algorithm>
#include <array>

#include "base/try.h"
#include "codec/entropy/plane.h"

namespace bitsnap::adam {
namespace {

// Whether some pair has no index; nothing branches.
bool AnySpecial(std::span<const int16_t> kv, std::span<const int16_t> ku) {
  int any = 0;
  for (size_t i = 0; i < kv.size(); ++i) any |= int{kv[i] <= kZero} | int{ku[i] <= kZero};
  return any != 0;
}

}  // namespace

Result<BaseIndices> BaseIndices::Open(const BaseBlock& block, size_t slot, size_t work_slot,
                                      Scratch& scratch) {
  const size_t elements = block.elements;
  const MutableBytes room = scratch.Get(slot, WholeGroups(elements));
  const std::span symbols(reinterpret_cast<uint8_t*>(room.data()), room.size());
  ByteReader reader(block.payload);
  BITSNAP_ASSIGN(const Streams streams, ReadStreams(reader, scratch.Get(work_slot, kPlaneWorkBytes),
                                                    symbols.first(elements)));
  if (streams.v.leans() || streams.u.leans()) return CorruptBlock("has a base that leans itself");
  return BaseIndices(block, streams, symbols, reader);
}

Result<void> BaseIndices::Next(size_t count, std::span<int16_t> kv, std::span<int16_t> ku) {
  const auto join = [&](const StreamView& stream, Half half, std::span<int16_t> indices) {
    Join(symbols_.subspan(done_), stream.PlanesFrom(done_, block_.elements), {},
         stream.plan.prediction, stream.plan.shift, count, half, indices);
  };
  join(streams_.v, Half::kHigh, kv);
  join(streams_.u, Half::kLow, ku);
  if (AnySpecial(kv.first(count), ku.first(count))) PlaceEscapes(kv.first(count), ku.first(count));
  done_ += count;
  if (!escapes_.ok()) return CorruptBlock("has a base that lacks escaped values");
  return {};
}

void BaseIndices::PlaceEscapes(std::span<int16_t> kv, std::span<int16_t> ku) {
  std::array<float, kTile> anchors, denominators, v, m;
  std::array<uint16_t, kTile> places;
  std::array<int16_t, kTile> escaped_v, escaped_u;
  FillAnchors(block_.params, block_.first + done_, std::span(anchors).first(kv.size()));
  size_t count = 0;
  const auto read = [&](std::span<float> to) {
    std::ranges::copy(escapes_.Raw(kFloat), std::as_writable_bytes(to.subspan(count, 1)).begin());
  };
  ForEscapes(kv, ku, [&](size_t i) {
    v[count] = m[count] = 0;
    read(v);
    read(m);
    anchors[count] = anchors[i];  // count <= i
    places[count++] = static_cast<uint16_t>(i);
  });
  const auto of = [&](auto& all) { return std::span(all).first(count); };
  const Grid& grid = block_.params.grid;
  IndexV(std::as_bytes(of(v)), of(anchors), grid, of(escaped_v));
  // The denominator is taken of the nearest v on the grid, as for any other pair.
  ReconstructV(of(escaped_v), of(anchors), grid, std::as_writable_bytes(of(v)), of(denominators));
  IndexM(std::as_bytes(of(m)), of(denominators), grid, of(escaped_u));
  for (size_t k = 0; k < count; ++k) {
    kv[places[k]] = escaped_v[k];
    ku[places[k]] = escaped_u[k];
  }
  for (size_t i = 0; i < kv.size(); ++i) {
    if (kv[i] <= kZero || ku[i] <= kZero) kv[i] = ku[i] = 0;
  }
}

}  // namespace bitsnap::adam
