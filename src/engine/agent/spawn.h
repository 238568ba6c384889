// Starting an agent.
#pragma once

#include <filesystem>

#include <bitsnap/result.h>

namespace bitsnap::agent {

// Runs `executable` ("bitsnap": the one on PATH) to start the agent of `store`, and returns once it
// listens or another one does, or somebody has killed it; its error when it does neither. The agent
// is no child of this process.
Result<void> Spawn(const std::filesystem::path& executable, const std::filesystem::path& store);

}  // namespace bitsnap::agent
