// A rank file without its optimizer state. Payloads are copied as they are, nothing is coded again.
#pragma once

#include <optional>
#include <vector>

#include "io/file_system.h"
#include "snapshot/reader.h"

namespace bitsnap {

// Numbers of the tensors that stay: all but optimizer state, and what their blocks need. nullopt
// when that is every one.
std::optional<std::vector<size_t>> WithoutOptimizer(const SnapshotIndex& index);

// Whether the thinned file still leans on the base.
bool NeedsBase(const SnapshotIndex& index, const std::vector<size_t>& kept);

// Payload bytes of the tensors that go.
uint64_t DroppedBytes(const SnapshotIndex& index, const std::vector<size_t>& kept);

// Writes `file` with the tensors `kept` only, which is in order and closed under what blocks need.
// Every block is checked on the way.
Result<void> WriteThinned(const SnapshotReader& file, const std::vector<size_t>& kept,
                          WritableFile& out);

}  // namespace bitsnap
