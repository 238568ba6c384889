// Rank files one by one, for those who bring together what several directories hold.
#include <bitsnap/store.h>

#include "base/try.h"
#include "store/snapshot.h"
#include "store/step.h"
#include "store/stored_file.h"

namespace bitsnap {

StoredFile Describe(const SnapshotReader& file) {
  const SnapshotHeader& header = file.header();
  StoredFile stored{.path = file.path(),
                    .id = {header.step, header.rank, header.world_size},
                    .save_id = header.save_id,
                    .lineage = file.index().lineage,
                    .bytes = file.file_bytes(),
                    .hash = ToHex(file.index_hash()),
                    .base_step = {},
                    .base_hash = {}};
  if (const auto& base = file.index().base) {
    stored.base_step = base->step;
    stored.base_hash = ToHex(base->index_hash);
  }
  return stored;
}

Result<Snapshot> Store::OpenRank(const RankOfStep& id) const {
  return OpenSnapshot({directory_, file_system_}, id.step, {id.rank, id.world_size});
}

Result<std::vector<RankOfStep>> Store::ListRanks(std::vector<PassedOver>* unreadable) const {
  const StoreLocation store{directory_, file_system_};
  BITSNAP_ASSIGN(const std::vector<uint64_t> steps, ListSteps(store));
  std::vector<RankOfStep> ranks;
  for (const uint64_t step : steps) {
    const auto ids = ListRankFiles(store, step);
    if (!ids) {
      const bool is_gone = ids.error().kind == ErrorKind::kNotFound;  // pruned meanwhile
      if (unreadable != nullptr && !is_gone) unreadable->push_back({step, ids.error()});
      continue;
    }
    for (const RankFileId& id : *ids) ranks.push_back({step, id.rank, id.world_size});
  }
  return ranks;
}

Result<std::vector<StoredFile>> Store::FilesOf(const RankOfStep& id) const {
  BITSNAP_ASSIGN(const RankFile opened,
                 OpenWithBase({directory_, file_system_}, id.step, {id.rank, id.world_size}));
  std::vector<StoredFile> files{Describe(opened.file)};
  if (opened.base) files.push_back(Describe(*opened.base));
  return files;
}

}  // namespace bitsnap
