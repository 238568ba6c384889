// Tensors and their plans to coded blocks in a snapshot file, in parallel and in bounded memory.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include <bitsnap/options.h>
#include <bitsnap/result.h>
#include <bitsnap/tensor.h>

#include "pipeline/source.h"
#include "policy/plan.h"
#include "snapshot/writer.h"

namespace bitsnap {

struct EncodeTask {
  const TensorView* tensor = nullptr;  // role present; bytes of the size that dtype and shape say
  TensorPlan plan;
  std::optional<uint32_t> base_tensor;  // the base's tensor of the same name, dtype and size
  std::optional<uint32_t> same_as;      // an earlier task whose tensor has the same bytes
  // Numbers of other tasks: the one whose tensor the codecs lean on, which loses nothing; the one
  // coded in this one's blocks; the one in whose blocks this is coded.
  std::optional<uint32_t> peer, second, first;
  std::vector<std::byte> params, advice;  // what the codecs' Prepare gave
  double update_error = 0;                // that a pair may have: see PartTooFarOff

  size_t parts() const { return second ? 2 : 1; }
  bool has_blocks() const { return !same_as && !first; }
};

// Which tensors repeat an earlier one of the same role, dtype and size byte for byte (tied
// weights): sets `same_as`.
void FindRepeats(std::span<EncodeTask> tasks);

// Appends the payloads of all tasks to `writer` and returns the records of their tensors, in order.
// `base` is null when no task has a base_tensor. The same bytes whatever the number of threads.
// Holds at most kBatchesPerThread batches of kBatchBytes and one Workspace for each thread.
Result<std::vector<TensorRecord>> EncodeTensors(std::span<const EncodeTask> tasks,
                                                const SnapshotReader* base, unsigned threads,
                                                const Progress& progress, SnapshotWriter& writer);

inline constexpr size_t kBatchBytes = size_t{1} << 20;
inline constexpr size_t kBatchesPerThread = 2;

}  // namespace bitsnap
