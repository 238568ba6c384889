// A state in memory, read like one on disk.
#pragma once

#include <functional>
#include <memory>

#include <bitsnap/store.h>

#include "engine/manifest.h"

namespace bitsnap {

// The tensors that `manifest` places in `memory`, saved as `options` say. `owner` keeps the memory
// until the snapshot goes. kCorrupt when the manifest does not fit the memory or itself.
Result<Snapshot> OpenMemory(const Manifest& manifest, const SaveOptions& options, Bytes memory,
                            std::shared_ptr<void> owner);

}  // namespace bitsnap
