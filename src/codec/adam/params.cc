#include "codec/adam/params.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace bitsnap::adam {
namespace {

// Steps outside are of no use, and their inverses and products could overflow.
bool IsStep(float step) { return step >= 0x1p-100f && step <= 0x1p+10f; }
bool IsEps(float eps) { return eps == 0 || (eps >= 0x1p-120f && eps <= 0x1p+60f); }

constexpr int kMaxOrigin = 126 * kMeanUnit;

// How the bytes begin; the means of rows and columns follow.
struct Head {
  Grid grid;
  uint32_t row_length;
  uint32_t rows;
  int16_t origin;
  uint8_t has_columns;
  uint8_t reserved;
};
static_assert(sizeof(Head) == 24);

std::span<const int8_t> ReadMeans(ByteReader& reader, uint64_t count) {
  const Bytes means = reader.Raw(count);
  return {reinterpret_cast<const int8_t*>(means.data()), means.size()};
}

// The anchors of one row's part, which has no columns or `columns`.
void FillRow(int origin, std::span<const int8_t> columns, std::span<float> anchors) {
  constexpr float kUnit = 1.0f / kMeanUnit;
  if (columns.empty()) {
    std::ranges::fill(anchors, static_cast<float>(origin) * kUnit);
    return;
  }
  for (size_t i = 0; i < anchors.size(); ++i) {
    anchors[i] = static_cast<float>(origin + columns[i]) * kUnit;
  }
}

}  // namespace

std::vector<std::byte> WriteParams(const Params& params) {
  const Head head{params.grid,
                  params.row_length,
                  static_cast<uint32_t>(params.rows.size()),
                  params.origin,
                  static_cast<uint8_t>(!params.columns.empty()),
                  0};
  std::vector<std::byte> bytes(sizeof(head) + params.rows.size() + params.columns.size());
  std::memcpy(bytes.data(), &head, sizeof(head));
  const auto columns = std::ranges::copy(std::as_bytes(params.rows), bytes.begin() + sizeof(head));
  std::ranges::copy(std::as_bytes(params.columns), columns.out);
  return bytes;
}

std::optional<Params> ReadParams(Bytes bytes) {
  Head head;
  if (bytes.size() < sizeof(head)) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof(head));
  if (!IsStep(head.grid.v_step) || !IsStep(head.grid.u_step) || !IsEps(head.grid.eps)) {
    return std::nullopt;
  }
  if (head.row_length == 0 || std::abs(head.origin) > kMaxOrigin || head.reserved != 0 ||
      head.has_columns > (head.rows > 0 ? 1 : 0)) {
    return std::nullopt;
  }
  ByteReader reader(bytes.subspan(sizeof(head)));
  Params params{head.grid, head.origin, head.row_length, {}, {}};
  params.rows = ReadMeans(reader, head.rows);
  params.columns = ReadMeans(reader, head.has_columns * uint64_t{head.row_length});
  if (!reader.ok() || reader.remaining() != 0) return std::nullopt;
  return params;
}

bool Covers(const Params& params, uint64_t end) {
  return params.rows.empty() || end <= uint64_t{params.row_length} * params.rows.size();
}

void FillAnchors(const Params& params, uint64_t first, std::span<float> anchors) {
  while (!anchors.empty()) {
    const uint64_t row = first / params.row_length;
    const uint64_t column = first % params.row_length;
    const auto length = static_cast<size_t>(std::min<uint64_t>(
        params.rows.empty() ? anchors.size() : params.row_length - column, anchors.size()));
    const int mean = params.rows.empty() ? 0 : params.rows[row];
    FillRow(params.origin + mean,
            params.columns.empty() ? params.columns : params.columns.subspan(column),
            anchors.first(length));
    anchors = anchors.subspan(length);
    first += length;
  }
}

}  // namespace bitsnap::adam
