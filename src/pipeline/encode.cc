#include "pipeline/encode.h"

#include <memory>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/batches.h"
#include "pipeline/block_encoder.h"

namespace bitsnap {
namespace {

// A slot of the ring between the threads that encode and the one that writes.
struct EncodedBatch {
  std::unique_ptr<std::byte[]> payload;  // of PayloadCapacity bytes, allocated when first used
  size_t payload_bytes = 0;
  std::vector<EncodedBlock> blocks;
};

size_t PayloadCapacity() { return kBatchBytes + PayloadBound(kBlockBytes); }

class Encoder {
 public:
  Encoder(std::span<const EncodeTask> tasks, const SnapshotReader* base, unsigned threads,
          const Progress& progress, SnapshotWriter& writer)
      : tasks_(tasks),
        base_{base, nullptr},
        progress_(progress),
        writer_(writer),
        blocks_(Blocks(tasks)),
        batches_(SplitIntoBatches(blocks_)),
        workspaces_(threads),
        slots_(threads * kBatchesPerThread),
        records_(tasks.size()),
        errors_(tasks.size()) {
    for (const BlockRange& block : blocks_) total_bytes_ += block.bytes;
  }

  Result<std::vector<TensorRecord>> Run() {
    for (size_t i = 0; i < tasks_.size(); ++i) records_[i] = EmptyRecord(tasks_[i]);
    BITSNAP_TRY(RunOrdered({
        .count = batches_.size(),
        .threads = static_cast<unsigned>(workspaces_.size()),
        .slots = slots_.size(),
        .produce =
            [this](size_t item, size_t slot, unsigned worker) {
              return EncodeBatch(batches_[item], slots_[slot], workspaces_[worker]);
            },
        .consume = [this](size_t item,
                          size_t slot) { return WriteBatch(batches_[item], slots_[slot]); },
    }));
    for (size_t i = 0; i < tasks_.size(); ++i) Complete(i);
    return std::move(records_);
  }

 private:
  static std::vector<BlockRange> Blocks(std::span<const EncodeTask> tasks) {
    std::vector<BlockRange> blocks;
    AppendBlocks(tasks, blocks);
    return blocks;
  }

  static TensorRecord EmptyRecord(const EncodeTask& task) {
    TensorRecord record;
    record.info = task.tensor->info;
    record.why = task.plan.why;
    if (task.same_as) {
      record.storage = Storage::kSameAsTensor;
      record.same_as = *task.same_as;
    } else if (task.first) {
      record.storage = Storage::kSecondOfPair;
      record.same_as = *task.first;
    }
    record.second = task.second;
    if (!task.same_as) record.params = task.params;
    return record;
  }

  Result<void> EncodeBatch(std::span<const BlockRange> batch, EncodedBatch& out,
                           Workspace& workspace) const {
    if (!out.payload) out.payload = std::make_unique_for_overwrite<std::byte[]>(PayloadCapacity());
    out.blocks.clear();
    out.payload_bytes = 0;
    for (const BlockRange& block : batch) {
      const MutableBytes target(out.payload.get() + out.payload_bytes,
                                PayloadCapacity() - out.payload_bytes);
      BITSNAP_ASSIGN(const BlockData data, ReadBlockData(tasks_, block, base_, workspace));
      const TensorPlan& plan = tasks_[block.tensor].plan;
      const EncodedBlock encoded =
          data.second.empty()
              ? EncodeBlock(plan, data.context, data.raw, target, workspace)
              : EncodePairBlock(plan, data.context, data.raw, data.second, target, workspace);
      out.payload_bytes += encoded.record.coded_bytes;
      out.blocks.push_back(encoded);
    }
    return {};
  }

  Result<void> WriteBatch(std::span<const BlockRange> batch, const EncodedBatch& encoded) {
    uint64_t offset = writer_.offset();
    BITSNAP_TRY(writer_.Append({encoded.payload.get(), encoded.payload_bytes}));
    for (size_t i = 0; i < batch.size(); ++i) {
      TensorRecord& record = records_[batch[i].tensor];
      if (record.blocks.empty()) record.data_offset = offset;
      record.blocks.push_back(encoded.blocks[i].record);
      errors_[batch[i].tensor].Add(encoded.blocks[i].error);
      offset += encoded.blocks[i].record.coded_bytes;
      done_bytes_ += batch[i].bytes;
    }
    if (progress_ && !progress_(done_bytes_, total_bytes_)) {
      return Fail(ErrorKind::kCancelled, "saving was cancelled");
    }
    return {};
  }

  // What can only be said of a tensor once all of its blocks are coded. A pair's first comes before
  // or after its second, which takes what it leans on from there.
  void Complete(size_t index) {
    TensorRecord& record = records_[index];
    const EncodeTask& task = tasks_[index];
    if (task.same_as) {
      record.why = fmt::format("the same bytes as \"{}\"", tasks_[*task.same_as].tensor->info.name);
    }
    if (record.storage != Storage::kBlocks) return;
    bool leans_on_base = false, leans_on_peer = false, lossy = false, same = !record.blocks.empty();
    for (const BlockRecord& block : record.blocks) {
      const Codec& codec = *FindCodec(block.codec);
      leans_on_base |= codec.base_form() != BaseForm::kNone;
      leans_on_peer |= codec.needs_peer();
      lossy |= !codec.IsLossless(record.params);
      same &= codec.needs_base() && block.coded_bytes == 0;
    }
    if (lossy && !task.second) record.error = ToMetrics(errors_[index]);
    if (lossy && task.second) {
      record.error = records_[*task.second].error = ToMetrics(errors_[index].update);
    }
    if (leans_on_base) record.base_tensor = task.base_tensor;
    if (leans_on_base && task.second) {
      records_[*task.second].base_tensor = tasks_[*task.second].base_tensor;
    }
    if (leans_on_peer) {
      record.peer = task.peer;
    } else if (!task.second) {
      record.params.clear();
    }
    if (same) SetSameAsBase(record);
  }

  static void SetSameAsBase(TensorRecord& record) {
    record.storage = Storage::kSameAsBase;
    record.blocks.clear();
    record.params.clear();
    record.data_offset = 0;
    record.why = "unchanged since the base";
  }

  const std::span<const EncodeTask> tasks_;
  const SnapshotSource base_;
  const Progress& progress_;
  SnapshotWriter& writer_;
  const std::vector<BlockRange> blocks_;
  const std::vector<std::span<const BlockRange>> batches_;
  std::vector<Workspace> workspaces_;  // one a worker
  std::vector<EncodedBatch> slots_;
  std::vector<TensorRecord> records_;
  std::vector<ErrorSums> errors_;  // of each tensor
  uint64_t done_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace

Result<std::vector<TensorRecord>> EncodeTensors(std::span<const EncodeTask> tasks,
                                                const SnapshotReader* base, unsigned threads,
                                                const Progress& progress, SnapshotWriter& writer) {
  return Encoder(tasks, base, threads, progress, writer).Run();
}

}  // namespace bitsnap
