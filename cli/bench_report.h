// What `bitsnap bench` found out, for people and programs.
#pragma once

#include <filesystem>
#include <vector>

#include <bitsnap/bitsnap.h>

#include "cli/json.h"
#include "cli/trial.h"

namespace bitsnap::cli {

struct BenchRow {
  Profile profile;
  size_t file;  // the first stands alone, all others lean on it
  Trial trial;
};

struct BenchResults {
  std::vector<std::filesystem::path> files;
  std::filesystem::path folder;  // that the temporary stores lay in
  std::vector<BenchRow> rows;
};

void PrintBench(const BenchResults& results);
Json BenchJson(const BenchResults& results);

}  // namespace bitsnap::cli
