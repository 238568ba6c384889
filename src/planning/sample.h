// Trying plans on a part of the data.
#pragma once

#include <span>
#include <vector>

#include "pipeline/unit.h"
#include "policy/plan.h"
#include "snapshot/reader.h"

namespace bitsnap {

// What each codec of a unit's plan makes of a few pieces of its tensors, with the base where the
// codec can use one and without where it can do without. At least one piece a unit, and one for
// every kSampleOneIn blocks. Small units are sampled with the base where it makes those one in
// kLeaderOneIn of their role and dtype that are looked at first smaller by one part in kLeaderGain,
// or where they seem unchanged: to decode the base for them all would take as long as coding them.
Result<std::vector<UnitSample>> SampleUnits(const EncodeInput& input, const SnapshotReader* base,
                                            unsigned threads);

inline constexpr size_t kSampleOneIn = 16;
inline constexpr size_t kLeaderOneIn = 4;
inline constexpr uint64_t kLeaderGain = 64;
inline constexpr size_t kSamplePieceBytes = size_t{16} << 10;  // of each tensor

}  // namespace bitsnap
