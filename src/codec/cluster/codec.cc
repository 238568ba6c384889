#include "codec/cluster/codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/try.h"
#include "codec/cluster/kernel.h"
#include "codec/cluster/quantiles.h"

namespace bitsnap {
namespace {

using cluster::Range;

// Where the parts of a payload begin; see spec.md.
struct Layout {
  static constexpr size_t kRanges = 6;

  Layout(size_t elements, size_t clusters, int label_bits)
      : labels(kRanges + clusters * sizeof(Range)),
        codes(labels + cluster::PackedBytes(elements, label_bits)),
        escapes(codes + elements) {}

  size_t labels;
  size_t codes;
  size_t escapes;
};

struct Escape {
  uint32_t position;
  uint32_t bits;
};
static_assert(sizeof(Escape) == 8);

// A block with more escapes than this is not worth clustering; the cap keeps EncodeBound near the
// raw size.
size_t MaxEscapes(size_t elements) { return elements / 4; }

// Copies `raw` to `values` with -0.0 made 0.0 and lists what is not finite at `escapes`. Escaped
// elements get the first finite value, which stretches no cluster. Returns the number of escapes;
// nullopt when they are too many.
std::optional<size_t> SplitEscapes(Bytes raw, std::span<float> values, std::byte* escapes) {
  std::memcpy(values.data(), raw.data(), raw.size());
  const size_t most = MaxEscapes(values.size());
  size_t count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) {
      values[i] += 0.0f;
      continue;
    }
    if (count == most) return std::nullopt;
    const Escape escape{static_cast<uint32_t>(i), std::bit_cast<uint32_t>(values[i])};
    std::memcpy(escapes + count++ * sizeof(Escape), &escape, sizeof(Escape));
  }
  if (count > 0) {
    const float stand_in = *std::find_if(values.begin(), values.end(),
                                         [](float value) { return std::isfinite(value); });
    std::replace_if(
        values.begin(), values.end(), [](float value) { return !std::isfinite(value); }, stand_in);
  }
  return count;
}

// Room for the boundaries of any number of clusters.
using BoundaryArray = std::array<float, cluster::kMaxClusters - 1>;

std::span<const float> PlaceBoundaries(const cluster::Moments& moments,
                                       std::span<const double> quantiles,
                                       BoundaryArray& boundaries) {
  constexpr double kMax = std::numeric_limits<float>::max();
  for (size_t k = 0; k < quantiles.size(); ++k) {
    const double boundary = moments.mean + quantiles[k] * moments.deviation;
    boundaries[k] = static_cast<float>(std::clamp(boundary, -kMax, kMax));
  }
  return std::span(boundaries).first(quantiles.size());
}

tl::unexpected<Error> Corrupt(const char* what) {
  return Fail(ErrorKind::kCorrupt, std::string("cluster block ") + what);
}

template <class T>
std::span<T> Typed(MutableBytes bytes) {
  return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
}

// A payload cut into its parts, with all lengths checked.
struct Payload {
  int label_bits;
  size_t clusters;
  Bytes ranges;
  Bytes labels;
  Bytes codes;
  Bytes escapes;
};

Result<Payload> Split(Bytes coded, size_t elements) {
  ByteReader reader(coded);
  Payload payload;
  payload.label_bits = reader.Int<uint8_t>();
  payload.clusters = size_t{reader.Int<uint8_t>()} + 1;
  const uint64_t escapes = reader.Int<uint32_t>();
  if (!reader.ok()) return Corrupt("ends within its header");
  if (payload.label_bits < 1 || payload.label_bits > 8)
    return Corrupt("has an impossible label width");
  if (payload.clusters > size_t{1} << payload.label_bits)
    return Corrupt("has more clusters than labels");
  payload.ranges = reader.Raw(payload.clusters * sizeof(Range));
  payload.labels = reader.Raw(cluster::PackedBytes(elements, payload.label_bits));
  payload.codes = reader.Raw(elements);
  payload.escapes = reader.Raw(escapes * sizeof(Escape));
  if (!reader.ok() || reader.remaining() > 0) return Corrupt("has the wrong length");
  const size_t used_bits = elements * payload.label_bits % 8;
  if (used_bits != 0 && std::to_integer<int>(payload.labels.back()) >> used_bits != 0) {
    return Corrupt("has bits set after its last label");
  }
  return payload;
}

Result<void> ReadRanges(Bytes bytes, std::span<Range> ranges) {
  std::memcpy(ranges.data(), bytes.data(), bytes.size());
  for (const Range& range : ranges) {
    if (!std::isfinite(range.low) || !std::isfinite(range.high) || range.low > range.high) {
      return Corrupt("has a range that is not finite or not ordered");
    }
  }
  return {};
}

Result<void> ApplyEscapes(Bytes escapes, MutableBytes out) {
  int64_t last = -1;
  for (size_t at = 0; at < escapes.size(); at += sizeof(Escape)) {
    Escape escape;
    std::memcpy(&escape, &escapes[at], sizeof(escape));
    if (escape.position <= last || escape.position >= out.size() / sizeof(float)) {
      return Corrupt("has escapes out of order or out of the block");
    }
    std::memcpy(&out[escape.position * sizeof(float)], &escape.bits, sizeof(escape.bits));
    last = escape.position;
  }
  return {};
}

}  // namespace

Cluster::Cluster(size_t clusters, int label_bits)
    : clusters_(clusters),
      label_bits_(label_bits),
      quantiles_(cluster::NormalQuantiles(clusters)) {}

size_t Cluster::EncodeBound(size_t raw_bytes) const {
  const size_t elements = raw_bytes / sizeof(float);
  return Layout(elements, clusters_, label_bits_).escapes + MaxEscapes(elements) * sizeof(Escape);
}

std::optional<Encoded> Cluster::Encode(const BlockContext& context, const Parts& parts,
                                       size_t limit, MutableBytes out, const MutableParts& decoded,
                                       Scratch& scratch) const {
  const Bytes raw = parts[0].bytes;
  const size_t elements = raw.size() / sizeof(float);
  const Layout layout(elements, clusters_, label_bits_);
  if (layout.escapes >= limit) return std::nullopt;

  const auto values = Typed<float>(scratch.Get(0, raw.size()));
  const auto escapes = SplitEscapes(raw, values, out.data() + layout.escapes);
  if (!escapes) return std::nullopt;
  const size_t size = layout.escapes + *escapes * sizeof(Escape);
  if (size >= limit) return std::nullopt;

  BoundaryArray room;
  const auto boundaries = PlaceBoundaries(cluster::Measure(values), quantiles_, room);
  std::array<Range, cluster::kMaxClusters> range_room;
  const auto ranges = std::span(range_room).first(clusters_);
  const auto labels = Typed<uint8_t>(scratch.Get(1, elements));
  cluster::AssignLabels(values, boundaries, labels, ranges);

  out[0] = static_cast<std::byte>(label_bits_);
  out[1] = static_cast<std::byte>(clusters_ - 1);
  const auto escape_count = static_cast<uint32_t>(*escapes);
  std::memcpy(&out[2], &escape_count, sizeof(escape_count));
  std::memcpy(&out[Layout::kRanges], ranges.data(), ranges.size_bytes());
  cluster::PackLabels(labels, label_bits_,
                      out.subspan(layout.labels, layout.codes - layout.labels));
  cluster::Quantize(values, labels, ranges, out.subspan(layout.codes, elements));
  if (!decoded.empty() && !Decode(context, out.first(size), decoded, scratch)) return std::nullopt;
  return Encoded{size};
}

Result<void> Cluster::Decode(const BlockContext&, Bytes coded, const MutableParts& parts,
                             Scratch& scratch) const {
  const MutableBytes out = parts[0].bytes;
  BITSNAP_ASSIGN(const Payload payload, Split(coded, out.size() / sizeof(float)));
  std::array<Range, cluster::kMaxClusters> range_room;
  const auto ranges = std::span(range_room).first(payload.clusters);
  BITSNAP_TRY(ReadRanges(payload.ranges, ranges));

  // A row for every label that fits the width, so that the lookup needs no bounds.
  const size_t rows = size_t{1} << payload.label_bits;
  const auto table = Typed<float>(scratch.Get(0, rows * cluster::kCodes * sizeof(float)));
  cluster::BuildTable(ranges, table.first(payload.clusters * cluster::kCodes));
  if (cluster::Lookup(payload.labels, payload.label_bits, payload.codes, table, out) >=
      payload.clusters) {
    return Corrupt("has a label without a range");
  }
  return ApplyEscapes(payload.escapes, out);
}

const Codec& ClusterCodec() {
  static const Cluster codec;
  return codec;
}

}  // namespace bitsnap
