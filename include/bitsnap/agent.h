// The agent: a process that holds the copies of states for a Saver, saves them, and survives the
// death of the training process (docs/engine.md).
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>

#include <bitsnap/result.h>
#include <bitsnap/store.h>

namespace bitsnap {

// What an agent in the foreground may be asked to tell; any of them may be empty. One call at a
// time, on any thread.
struct AgentEvents {
  // Clients may come. Ctrl-C and SIGTERM are the agent's from now on.
  std::function<void(const std::filesystem::path& socket)> listening;
  // A state that was handed over is saved, or cannot be.
  std::function<void(const SaveOptions& options, const Result<SaveReport>& report)> saved;
  // A signal came. So many states that were handed over are saved first.
  std::function<void(size_t under_way)> ending;
};

// Is the agent of the store in `directory`, which is made where it is missing, until it has no more
// to do. Ctrl-C, SIGTERM or a terminal that is closed make it finish what was handed over and end;
// a second Ctrl-C or SIGTERM ends the process at once. To be the main function of a process without
// other threads: it takes these signals for itself. kBusy when the store has an agent already.
Result<void> RunAgent(const std::filesystem::path& directory, const AgentEvents& events = {});

// The same in a process of its own, which no terminal and no open file ties to this one, and which
// may use all cores that the machine gives to processes like this one. Returns, in this process,
// once it listens or another one does. Closes all files but standard ones. To be called before
// there are other threads.
Result<void> StartDetachedAgent(const std::filesystem::path& directory);

}  // namespace bitsnap
