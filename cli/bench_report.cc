#include "cli/bench_report.h"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "cli/format.h"

namespace bitsnap::cli {

namespace {

double GigabytesPerSecond(uint64_t bytes, double seconds) {
  return seconds > 0 ? static_cast<double>(bytes) / seconds / 1e9 : 0;
}

double MemcpyGigabytes(const Trial& trial) { return trial.memcpy_rate / 1e9; }

Json LossJson(double value) { return std::isfinite(value) ? Json(value) : Json("unbounded"); }

Json SpeedJson(const Speed& speed, double memcpy_rate) {
  const double encode = GigabytesPerSecond(speed.raw_bytes, speed.encode_seconds);
  const double decode = GigabytesPerSecond(speed.raw_bytes, speed.decode_seconds);
  return {{"encode_gb_s", encode},
          {"encode_of_memcpy", encode / memcpy_rate},
          {"decode_gb_s", decode},
          {"decode_of_memcpy", decode / memcpy_rate}};
}

Json BytesJson(const RoleBytes& bytes) {
  return {{"raw_bytes", bytes.raw_bytes},
          {"stored_bytes", bytes.stored_bytes},
          {"ratio", RatioJson(bytes.raw_bytes, bytes.stored_bytes)}};
}

Json RowJson(const BenchRow& row, const BenchResults& results) {
  const double memcpy_rate = MemcpyGigabytes(row.trial);
  Json whole = BytesJson(row.trial.whole);
  whole.update(SpeedJson(row.trial.speed, memcpy_rate));
  Json roles = Json::object();
  for (const auto& [role, part] : row.trial.roles) {
    Json json = BytesJson(part.bytes);
    json["codecs"] = part.codecs;
    json["relative_error"] = LossJson(part.loss.relative);
    json["update_error"] = part.loss.update ? LossJson(*part.loss.update) : Json(nullptr);
    Json together = Json::array();
    for (const Role other : part.speed.together) together.push_back(RoleName(other));
    json["timed_with"] = std::move(together);
    json.update(SpeedJson(part.speed, memcpy_rate));
    roles[std::string(RoleName(role))] = std::move(json);
  }
  return {{"profile", ProfileName(row.profile)},
          {"file", results.files[row.file].string()},
          {"base", row.file == 0 ? Json(nullptr) : Json(results.files[0].string())},
          {"memcpy_gb_s", memcpy_rate},
          {"whole", std::move(whole)},
          {"roles", std::move(roles)}};
}

std::vector<std::string> Cells(const RoleBytes& bytes, const Speed& speed, double memcpy_rate) {
  std::vector<std::string> cells = {HumanRatio(bytes.raw_bytes, bytes.stored_bytes)};
  for (const double seconds : {speed.encode_seconds, speed.decode_seconds}) {
    const double rate = GigabytesPerSecond(speed.raw_bytes, seconds);
    cells.push_back(fmt::format("{:.2f}", rate));
    cells.push_back(fmt::format("{:.2f}", rate / memcpy_rate));
  }
  return cells;
}

std::string LossText(const Loss& loss) {
  if (loss.relative == 0 && loss.update.value_or(0) == 0) return "exact";
  if (loss.update) return fmt::format("update {:.3g} %", 100 * *loss.update);
  return fmt::format("{:.2g}", loss.relative);
}

void AddCells(std::vector<std::string>& line, std::vector<std::string> cells) {
  std::move(cells.begin(), cells.end(), std::back_inserter(line));
}

void PrintFile(const BenchResults& results, size_t file) {
  const auto name = [&](size_t i) { return Printable(results.files[i].filename().string()); };
  Print("{}{}\n", name(file), file == 0 ? ", standing alone" : ", leaning on " + name(0));
  std::vector<std::vector<std::string>> table = {{"  profile", "role", "ratio", "enc GB/s",
                                                  "of memcpy", "dec GB/s", "of memcpy", "error",
                                                  "codecs"}};
  for (const BenchRow& row : results.rows) {
    if (row.file != file) continue;
    const double memcpy_rate = MemcpyGigabytes(row.trial);
    std::vector<std::string> line = {fmt::format("  {}", ProfileName(row.profile)), "whole"};
    AddCells(line, Cells(row.trial.whole, row.trial.speed, memcpy_rate));
    table.push_back(std::move(line));
    for (const auto& [role, part] : row.trial.roles) {
      line = {"", std::string(RoleName(role))};
      AddCells(line, Cells(part.bytes, part.speed, memcpy_rate));
      line.push_back(LossText(part.loss));
      line.push_back(part.codecs);
      table.push_back(std::move(line));
    }
  }
  Print("{}\n", FormatTable("<<>>>>><<", table));
}

}  // namespace

void PrintBench(const BenchResults& results) {
  for (size_t file = 0; file < results.files.size(); ++file) PrintFile(results, file);
  double memcpy_rate = 0;
  for (const BenchRow& row : results.rows) {
    memcpy_rate = std::max(memcpy_rate, MemcpyGigabytes(row.trial));
  }
  Print(
      "Through a store in {}; memcpy: up to {:.1f} GB/s on one thread. Errors are the worst\n"
      "tensor's. Masters are timed with their weights, exp_avg and exp_avg_sq together.\n",
      Printable(results.folder.string()), memcpy_rate);
}

Json BenchJson(const BenchResults& results) {
  Json rows = Json::array();
  for (const BenchRow& row : results.rows) rows.push_back(RowJson(row, results));
  return {{"folder", results.folder.string()}, {"results", std::move(rows)}};
}

}  // namespace bitsnap::cli
