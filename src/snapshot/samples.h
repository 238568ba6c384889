// The snapshots that the tests of this room write, read and damage. All deterministic.
#pragma once

#include "snapshot/test_file.h"

namespace bitsnap {

// One bf16 tensor of two elements, stored raw: the worked example of docs/format.md.
Sample TinySample();

// Every feature of the format at least once, in a few hundred bytes.
Sample FullSample();

// A valid sample, another one for each seed.
Sample RandomSample(uint64_t seed);

// The index of a small transformer's training state: 196 tensors with the names of real ones,
// blocks of 256 KiB, offsets left out. `delta`: every tensor leans on its base's.
SnapshotIndex TransformerIndex(bool delta);

}  // namespace bitsnap
