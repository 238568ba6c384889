// A state in memory, read like one on disk.
#pragma once

#include <memory>

#include <bitsnap/store.h>

#include "engine/fd.h"
#include "engine/manifest.h"

namespace bitsnap {

// The tensors that `manifest` places in a file of CreateMemoryFile, saved as `options` say. `owner`
// goes when the snapshot does. kInvalidArgument for another file, kCorrupt when the manifest does
// not fit the file or itself.
Result<Snapshot> OpenMemory(const Manifest& manifest, const SaveOptions& options, Fd file,
                            std::shared_ptr<void> owner);

}  // namespace bitsnap
