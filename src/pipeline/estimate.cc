#include <algorithm>

#include "base/checked.h"
#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/batches.h"
#include "pipeline/encode.h"

namespace bitsnap {
namespace {

// One block in 32, spread evenly over the snapshot, but no fewer than 32 of them.
std::vector<BlockRange> Sample(const std::vector<BlockRange>& blocks) {
  constexpr size_t kOneIn = 32, kAtLeast = 32;
  const size_t wanted = std::min(blocks.size(), std::max(kAtLeast, blocks.size() / kOneIn));
  std::vector<BlockRange> sample;
  for (size_t i = 0; i < wanted; ++i) {
    sample.push_back(blocks[blocks.size() * (2 * i + 1) / (2 * wanted)]);
  }
  return sample;
}

}  // namespace

Result<uint64_t> EstimateBytes(std::span<const EncodeTask> tasks, const SnapshotReader* base,
                               unsigned threads) {
  std::vector<BlockRange> blocks;
  AppendBlocks(tasks, blocks);
  uint64_t all_bytes = 0;
  for (const BlockRange& block : blocks) all_bytes += block.bytes;
  const std::vector<BlockRange> sample = Sample(blocks);
  std::vector<Workspace> workspaces(threads);
  std::vector<std::vector<std::byte>> payloads(threads);
  std::vector<uint64_t> coded(threads);  // by slot
  uint64_t raw_sum = 0, coded_sum = 0;
  BITSNAP_TRY(RunOrdered({
      .count = sample.size(),
      .threads = threads,
      .slots = threads,
      .produce = [&](size_t item, size_t slot, unsigned worker) -> Result<void> {
        payloads[worker].resize(PayloadBound(kBlockBytes));
        BITSNAP_ASSIGN(const EncodedBlock block,
                       EncodeTaskBlock(tasks, sample[item], {base, nullptr}, payloads[worker],
                                       workspaces[worker]));
        coded[slot] = block.record.coded_bytes;
        return {};
      },
      .consume = [&](size_t item, size_t slot) -> Result<void> {
        raw_sum += sample[item].bytes;
        coded_sum += coded[slot];
        return {};
      },
  }));
  if (raw_sum == 0) return 0;
  const double share = static_cast<double>(coded_sum) / static_cast<double>(raw_sum);
  return static_cast<uint64_t>(share * static_cast<double>(all_bytes));
}

}  // namespace bitsnap
