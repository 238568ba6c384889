#include "cli/open.h"

#include <fmt/core.h>

#include "cli/format.h"

namespace bitsnap::cli {

namespace {

// When steps are there but none is readable, the newest one's trouble is what to tell, and its kind
// is what the exit code should be.
Error NothingLeft(const Error& error, const std::vector<PassedOver>& passed_over) {
  if (error.kind != ErrorKind::kNotFound || passed_over.empty()) return error;
  return {passed_over.front().error.kind,
          fmt::format("{} (newest: step {}: {})", error.message, passed_over.front().step,
                      passed_over.front().error.message)};
}

}  // namespace

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
  if (!used) return tl::make_unexpected(NothingLeft(used.error(), passed_over));
  return passed_over;
}

}  // namespace bitsnap::cli
