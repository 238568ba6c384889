// Where restore writes to, checked before anything is read.
#pragma once

#include <filesystem>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

struct Target {
  bool is_stdout = false;  // so that nothing else may be written there
};

// That `out` can be written at all and is no file of a store.
Result<Target> CheckTarget(const std::filesystem::path& out, const std::filesystem::path& store);

}  // namespace bitsnap::cli
