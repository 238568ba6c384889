#include "codec/adam/params.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/checked.h"

namespace bitsnap::adam {
namespace {

// Steps outside are of no use, and their inverses and products could overflow.
bool IsStep(float step) { return step >= 0x1p-100f && step <= 0x1p+10f; }
bool IsEps(float eps) { return eps == 0 || (eps >= 0x1p-120f && eps <= 0x1p+60f); }

// How the bytes begin; the means of rows and columns follow.
struct Head {
  Grid grid;
  uint32_t row_length;
  uint32_t rows;
  uint32_t panel_rows;
  int32_t origin;
};
static_assert(sizeof(Head) == 28);

std::span<const int8_t> ReadMeans(ByteReader& reader, uint64_t count) {
  const Bytes means = reader.Raw(count);
  return {reinterpret_cast<const int8_t*>(means.data()), means.size()};
}

}  // namespace

std::vector<std::byte> WriteParams(const Params& params) {
  const Head head{params.grid, params.row_length, static_cast<uint32_t>(params.rows.size()),
                  params.panel_rows, params.origin};
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
  if (head.row_length == 0 || std::abs(int64_t{head.origin}) > kMaxOrigin) return std::nullopt;
  ByteReader reader(bytes.subspan(sizeof(head)));
  Params params{head.grid, 1, static_cast<int16_t>(head.origin), head.row_length, head.panel_rows,
                {},        {}};
  const uint64_t panels = head.panel_rows == 0 ? 0 : CeilDiv(head.rows, head.panel_rows);
  params.rows = ReadMeans(reader, head.rows);
  params.columns = ReadMeans(reader, panels * head.row_length);
  if (!reader.ok() || reader.remaining() != 0) return std::nullopt;
  return params;
}

bool Covers(const Params& params, uint64_t end) {
  return params.rows.empty() || end <= uint64_t{params.row_length} * params.rows.size();
}

void FillAnchors(const Params& params, uint64_t first, std::span<float> anchors) {
  if (params.rows.empty()) return AddColumns(params.origin, {}, anchors);
  const uint64_t length = params.row_length;
  while (!anchors.empty()) {
    const uint64_t row = first / length;
    const uint64_t column = first % length;
    const auto part = static_cast<size_t>(std::min<uint64_t>(length - column, anchors.size()));
    std::span<const int8_t> columns;
    if (params.panel_rows > 0) {
      columns = params.columns.subspan(row / params.panel_rows * length + column, part);
    }
    AddColumns(params.origin + params.rows[row], columns, anchors.first(part));
    anchors = anchors.subspan(part);
    first += part;
  }
}

}  // namespace bitsnap::adam
