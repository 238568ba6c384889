#include "cli/format.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include <fmt/core.h>

namespace bitsnap::cli {

namespace {

// A column is no wider for a longer cell: its row sticks out, instead of all others being filled
// up.
constexpr size_t kMaxWidth = 80;

// Columns that a UTF-8 text takes: continuation bytes take none.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  constexpr std::array kUnits = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, value < 9.95 ? 1 : 0, kUnits[unit]);
}

std::string HumanRatio(uint64_t raw_bytes, uint64_t stored_bytes) {
  if (stored_bytes == 0) return "-";
  return fmt::format("{:.2f}x", static_cast<double>(raw_bytes) / static_cast<double>(stored_bytes));
}

std::string FormatTable(std::string_view alignment,
                        const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(alignment.size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], std::min(Width(row[i]), kMaxWidth));
    }
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - std::min(Width(row[i]), widths[i]), ' ');
      line += i == 0 ? "" : "  ";
      line += alignment[i] == '>' ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + "\n";
  }
  return table;
}

std::string FormatRoles(const std::map<Role, RoleBytes>& roles) {
  std::vector<std::vector<std::string>> rows = {{"  role", "raw", "stored", "ratio"}};
  for (const auto& [role, bytes] : roles) {
    rows.push_back({fmt::format("  {}", RoleName(role)), HumanBytes(bytes.raw_bytes),
                    HumanBytes(bytes.stored_bytes),
                    HumanRatio(bytes.raw_bytes, bytes.stored_bytes)});
  }
  return FormatTable("<>>>", rows);
}

}  // namespace bitsnap::cli
