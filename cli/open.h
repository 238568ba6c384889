// Which snapshot of a store a reading subcommand works on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

// Calls `use` with `rank` of the given step or, without one, of the newest whole step that `use`
// can read; tells on stderr which ones were passed over. Returns what was passed over.
Result<std::vector<PassedOver>> WithSnapshot(
    const std::filesystem::path& store, std::optional<uint64_t> step, uint32_t rank,
    const std::function<Result<void>(const Snapshot&)>& use);

}  // namespace bitsnap::cli
