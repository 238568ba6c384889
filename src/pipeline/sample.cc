#include "pipeline/sample.h"

#include <algorithm>

#include "base/checked.h"
#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/batches.h"

namespace bitsnap {
namespace {

// The heads of blocks spread evenly over the tensor.
void AppendPieces(size_t number, const EncodeTask& task, std::vector<BlockRange>& pieces) {
  std::vector<BlockRange> blocks;
  AppendBlocks(number, task.tensor->bytes.size(), task.parts(), blocks);
  const size_t wanted = CeilDiv(blocks.size(), kSampleOneIn);
  for (size_t i = 0; i < wanted; ++i) {
    BlockRange piece = blocks[blocks.size() * (2 * i + 1) / (2 * wanted)];
    piece.bytes = std::min(piece.bytes, task.parts() * kSamplePieceBytes);
    pieces.push_back(piece);
  }
}

struct Variant {
  const Codec* codec;
  bool with_base;
};

std::vector<Variant> VariantsOf(const EncodeTask& task) {
  std::vector<Variant> variants;
  for (CodecId id : task.plan.codecs) {
    const Codec& codec = GetCodec(id);
    if (codec.uses_base() && task.base_tensor) variants.push_back({&codec, true});
    if (!codec.needs_base()) variants.push_back({&codec, false});
  }
  return variants;
}

TensorSample EmptySample(const EncodeTask& task) {
  TensorSample sample;
  if (!task.has_blocks()) return sample;
  sample.tensor_bytes = task.parts() * task.tensor->bytes.size();
  for (const Variant& variant : VariantsOf(task)) {
    sample.codecs.push_back({variant.codec->id(), variant.with_base, 0});
  }
  return sample;
}

class Sampler {
 public:
  Sampler(std::span<const EncodeTask> tasks, const SnapshotReader* base, unsigned threads)
      : tasks_(tasks), base_{base, nullptr}, workers_(threads), sizes_(threads) {
    for (size_t i = 0; i < tasks.size(); ++i) {
      samples_.push_back(EmptySample(tasks[i]));
      if (tasks[i].has_blocks()) AppendPieces(i, tasks[i], pieces_);
    }
  }

  Result<std::vector<TensorSample>> Run() {
    BITSNAP_TRY(RunOrdered({
        .count = pieces_.size(),
        .threads = static_cast<unsigned>(workers_.size()),
        .slots = sizes_.size(),
        .produce = [this](size_t item, size_t slot,
                          unsigned worker) { return Try(pieces_[item], sizes_[slot], worker); },
        .consume = [this](size_t item, size_t slot) -> Result<void> {
          TensorSample& sample = samples_[pieces_[item].tensor];
          sample.sampled_bytes += pieces_[item].bytes;
          for (size_t i = 0; i < sample.codecs.size(); ++i) {
            sample.codecs[i].coded_bytes += sizes_[slot][i];
          }
          return {};
        },
    }));
    return std::move(samples_);
  }

 private:
  struct Worker {
    Workspace workspace;
    std::vector<std::byte> out;
  };

  // Codes a piece in every variant.
  Result<void> Try(const BlockRange& piece, std::vector<uint64_t>& sizes, unsigned number) {
    Worker& worker = workers_[number];
    worker.out.resize(PayloadBound(kBlockBytes));
    sizes.clear();
    BITSNAP_ASSIGN(const BlockData with_base,
                   ReadBlockData(tasks_, piece, base_, worker.workspace));
    BlockData without_base = with_base;
    without_base.context.base.reset();
    for (const Variant& variant : VariantsOf(tasks_[piece.tensor])) {
      const BlockData& data = variant.with_base ? with_base : without_base;
      const auto size = variant.codec->Encode(data.context, data.raw, data.raw.size(), worker.out,
                                              worker.workspace.scratch);
      sizes.push_back(size.value_or(data.raw.size()));
    }
    return {};
  }

  const std::span<const EncodeTask> tasks_;
  const SnapshotSource base_;
  std::vector<Worker> workers_;
  std::vector<std::vector<uint64_t>> sizes_;  // by slot: coded bytes of each variant
  std::vector<BlockRange> pieces_;
  std::vector<TensorSample> samples_;
};

}  // namespace

Result<std::vector<TensorSample>> SampleTasks(std::span<const EncodeTask> tasks,
                                              const SnapshotReader* base, unsigned threads) {
  return Sampler(tasks, base, threads).Run();
}

}  // namespace bitsnap
