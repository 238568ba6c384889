// The agent: a process that holds the copies of states for a Saver, saves them, and survives the
// death of the training process (docs/engine.md).
#pragma once

#include <filesystem>

#include <bitsnap/result.h>

namespace bitsnap {

// Is the agent of the store in `directory`, which is made where it is missing, until it has no more
// to do; Ctrl-C or SIGTERM makes it finish what is queued and end, a second one at once. To be the
// main function of a process without other threads: it takes these signals for itself. kBusy when
// the store has an agent already.
Result<void> RunAgent(const std::filesystem::path& directory);

// The same in a process of its own, which no terminal and no open file ties to this one. Returns,
// in this process, once it listens or another one does. Closes all files but standard ones. To be
// called before there are other threads.
Result<void> StartDetachedAgent(const std::filesystem::path& directory);

}  // namespace bitsnap
