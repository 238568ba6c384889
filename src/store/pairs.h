// Adam's two moments of a parameter as one task.
#pragma once

#include <span>
#include <vector>

#include <bitsnap/store.h>

#include "pipeline/encode.h"
#include "policy/relations.h"
#include "snapshot/reader.h"

namespace bitsnap {

// A task's whole tensor, for a codec's Prepare; `second` is the pair's other task or null.
TensorContext TensorContextOf(const EncodeTask& task, const EncodeTask* second,
                              const SaveOptions& options);

// Where the profile codes moments together: joins the tasks of each pair for which the codec can
// keep the profile's bound, and leaves the others as they are. A pair leans on the base's indices
// where the base, which may be null, has it as a pair too. Prepares the pairs in parallel.
Result<void> PairMoments(std::span<const Relations> relations, const SaveOptions& options,
                         const SnapshotReader* base, std::vector<EncodeTask>& tasks);

// Prepares those pairs anew that were to lean on the base's indices and, as their plans say, are
// not to any more.
Result<void> PrepareToStandAlone(const SaveOptions& options, std::vector<EncodeTask>& tasks);

// Parts the pairs that were coded with a larger error than they may have, as their records tell: a
// large tensor's grids are chosen on a sample. They are then to be coded without loss. False where
// there are none.
bool PartTooFarOff(std::span<const TensorRecord> records, std::vector<EncodeTask>& tasks);

// A copy of a tensor that loses something has not agreed to lose it too: from then on it is coded
// for itself, unless both moments of a parameter are copies of the two of a pair.
void PartFromLossy(std::span<const Relations> relations, std::vector<EncodeTask>& tasks);

}  // namespace bitsnap
