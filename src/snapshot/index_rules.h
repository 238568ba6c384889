// The rules an index must keep, the same for what a writer is given and what a reader finds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "snapshot/index.h"

namespace bitsnap {

inline constexpr uint32_t kMaxBlockBytes = uint32_t{1} << 30;
// Of names and shapes, which have 16-bit lengths in the file.
inline constexpr size_t kMaxLength = 65535;
// Of a tensor; codecs measure two or three.
inline constexpr size_t kMaxMetrics = 64;
inline constexpr size_t kMaxAncestors = 65535;
inline constexpr uint64_t kMaxRunOrder = uint64_t{1} << 62;

// What is wrong with `index` as the index of a file whose payloads fill kHeaderBytes to
// `payload_end`, in one clause that names the tensor; nullopt when nothing is.
std::optional<std::string> FindFault(const SnapshotIndex& index, uint64_t payload_end);

}  // namespace bitsnap
