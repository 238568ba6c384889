// Shared by the tests of disks that fail at every single operation in turn.
#pragma once

#include <gtest/gtest.h>

#include "io/fault.h"
#include "io/memory.h"
#include "store/store_test_util.h"

namespace bitsnap::testing_util {

// How a disk fails; the fault but for its place.
struct FaultCase {
  ErrorKind kind;
  bool short_write;
  bool lasting;
  bool power_cut = false;  // and then the power goes

  Fault At(uint64_t operation) const { return {operation, kind, short_write, lasting}; }
};

inline const FaultCase kFaultCases[] = {{ErrorKind::kIo, false, false},
                                        {ErrorKind::kIo, true, true},
                                        {ErrorKind::kOutOfSpace, true, false},
                                        {ErrorKind::kOutOfSpace, false, true}};

// Everything below `path`, relative to it.
inline std::vector<std::string> Tree(FileSystem& fs, const std::filesystem::path& path) {
  std::vector<std::string> tree;
  const auto names = *fs.List(path);
  for (const std::string& name : names) {
    tree.push_back(name);
    if (*fs.Type(path / name) != FileType::kDirectory) continue;
    for (const std::string& below : Tree(fs, path / name)) tree.push_back(name + "/" + below);
  }
  return tree;
}

// Two states in a row. Small tensors keep the loops over all operations short.
class FaultTest : public testing::TestWithParam<FaultCase> {
 protected:
  const Contents first_ = SmallState(1, 3000);
  const Contents second_ = Step(first_, 2);
};

}  // namespace bitsnap::testing_util
