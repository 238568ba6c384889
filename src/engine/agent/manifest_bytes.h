// A manifest's tensors as bytes: as JSON, a state of 100,000 tensors would hold up the training for
// seconds.
#pragma once

#include <cstdint>
#include <vector>

#include <bitsnap/result.h>

#include "base/bytes.h"
#include "engine/manifest.h"

namespace bitsnap::agent {

std::vector<uint8_t> ToBytes(const std::vector<PlacedTensor>& tensors);

// kCorrupt for what ToBytes did not make. Where the tensors lie is not looked at.
Result<std::vector<PlacedTensor>> ToTensors(Bytes bytes);

}  // namespace bitsnap::agent
