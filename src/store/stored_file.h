// What is told about a rank file.
#pragma once

#include <bitsnap/store.h>

#include "snapshot/reader.h"

namespace bitsnap {

StoredFile Describe(const SnapshotReader& file);

}  // namespace bitsnap
