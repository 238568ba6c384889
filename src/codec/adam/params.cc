#include "codec/adam/params.h"

#include <algorithm>
#include <bit>

namespace bitsnap::adam {
namespace {

// Steps outside are of no use, and their inverses and products could overflow.
bool IsStep(float step) { return step >= 0x1p-100f && step <= 0x1p+10f; }
bool IsEps(float eps) { return eps == 0 || (eps >= 0x1p-120f && eps <= 0x1p+60f); }

constexpr int kMaxOrigin = 126 * kMeanUnit;

void WriteFloat(ByteWriter& writer, float value) { writer.Int(std::bit_cast<uint32_t>(value)); }
float ReadFloat(ByteReader& reader) { return std::bit_cast<float>(reader.Int<uint32_t>()); }

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
  std::vector<std::byte> bytes;
  ByteWriter writer(&bytes);
  WriteFloat(writer, params.grid.v_step);
  WriteFloat(writer, params.grid.u_step);
  WriteFloat(writer, params.grid.eps);
  writer.Int(params.origin);
  writer.Int(params.row_length);
  writer.Int(static_cast<uint32_t>(params.rows.size()));
  writer.Int(static_cast<uint8_t>(!params.columns.empty()));
  writer.Raw(std::as_bytes(params.rows));
  writer.Raw(std::as_bytes(params.columns));
  return bytes;
}

std::optional<Params> ReadParams(Bytes bytes) {
  ByteReader reader(bytes);
  Params params;
  params.grid.v_step = ReadFloat(reader);
  params.grid.u_step = ReadFloat(reader);
  params.grid.eps = ReadFloat(reader);
  params.origin = reader.Int<int16_t>();
  params.row_length = reader.Int<uint32_t>();
  const auto rows = reader.Int<uint32_t>();
  const auto has_columns = reader.Int<uint8_t>();
  params.rows = ReadMeans(reader, rows);
  params.columns = ReadMeans(reader, has_columns * uint64_t{params.row_length});
  const Grid& grid = params.grid;
  if (!reader.ok() || reader.remaining() != 0 || has_columns > (rows > 0 ? 1 : 0)) {
    return std::nullopt;
  if (!IsStep(grid.v_step) || !IsStep(grid.u_step) || !IsEps(grid.eps)) return std::nullopt;
  if (std::abs(params.origin) > kMaxOrigin || params.row_length == 0) return std::nullopt;
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
