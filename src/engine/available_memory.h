// How much memory may still be taken before somebody is killed for it.
#pragma once

#include <cstdint>
#include <filesystem>

#include <bitsnap/result.h>

namespace bitsnap {

// Bytes: what the machine has left, or less where a control group (v2 or v1) of this process, or
// one above it, allows less; pages of files that can be dropped count as left. The largest number
// where nothing says so. `root` is where proc and sys are, for tests.
uint64_t AvailableMemory(const std::filesystem::path& root = "/");

// kOutOfMemory, with the remedy, when a copy of `bytes` would take more than is left.
Result<void> CheckMemory(uint64_t bytes);

}  // namespace bitsnap
