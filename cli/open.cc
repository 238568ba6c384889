#include "cli/open.h"

#include <fmt/core.h>

#include "cli/format.h"

namespace bitsnap::cli {

Result<std::vector<PassedOver>> WithSnapshot(
    const std::filesystem::path& store, std::optional<uint64_t> step, uint32_t rank,
    const std::function<Result<void>(const Snapshot&)>& use) {
  const Result<Store> opened = Store::Open(store);
  if (!opened) return tl::make_unexpected(opened.error());

  std::vector<PassedOver> passed_over;
  if (step) {
    const Result<Snapshot> snapshot = opened->OpenStep(*step, rank);
    if (!snapshot) return tl::make_unexpected(snapshot.error());
    const Result<void> used = use(*snapshot);
    if (!used) return tl::make_unexpected(used.error());
    return passed_over;
  }
  const Result<uint64_t> used = opened->RestoreNewest(rank, use, &passed_over);
  for (const PassedOver& passed : passed_over) {
    Note(fmt::format("passed over step {}: {}", passed.step, passed.error.message));
  }
  if (!used) return tl::make_unexpected(used.error());
  return passed_over;
}

}  // namespace bitsnap::cli
