#include "pipeline/sample.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "base/checked.h"
#include "base/checksum.h"
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

// Both parts of a pair, which lie one behind the other.
Bytes AllParts(const BlockData& data) { return {data.raw.data(), data.context.raw_bytes}; }

struct Variant {
  const Codec* codec;
  bool with_base;
};

std::vector<Variant> VariantsOf(const EncodeTask& task, bool with_base) {
  std::vector<Variant> variants;
  for (CodecId id : task.plan.codecs) {
    const Codec& codec = GetCodec(id);
    if (codec.base_form() != BaseForm::kNone && with_base) variants.push_back({&codec, true});
    if (!codec.needs_base()) variants.push_back({&codec, false});
  }
  // What remains where the base's blocks are of no use.
  for (CodecId id : task.plan.others) variants.push_back({&GetCodec(id), false});
  return variants;
}

// Tensors that are expected to change alike.
using Kind = std::tuple<Role, DType>;
Kind KindOf(const EncodeTask& task) { return {*task.tensor->info.role, task.tensor->info.dtype}; }

// Tensors that are sampled first, to tell whether the base pays for the others of their kind: all
// that are so large that it hardly matters, and one in a few of the others, of all sizes.
std::vector<bool> Leaders(std::span<const EncodeTask> tasks) {
  std::map<Kind, std::vector<size_t>> kinds;
  std::vector<bool> leads(tasks.size(), true);
  for (size_t i = 0; i < tasks.size(); ++i) {
    const bool small = tasks[i].tensor->bytes.size() < kSampleOneIn / 2 * kBlockBytes;
    if (small && tasks[i].has_blocks()) kinds[KindOf(tasks[i])].push_back(i);
  }
  for (auto& [kind, numbers] : kinds) {
    std::ranges::stable_sort(numbers, std::ranges::greater(),
                             [&](size_t i) { return tasks[i].tensor->bytes.size(); });
    for (size_t n = 0; n < numbers.size(); ++n) leads[numbers[n]] = n % kLeaderOneIn == 0;
  }
  return leads;
}

class Sampler {
 public:
  Sampler(std::span<const EncodeTask> tasks, const SnapshotReader* base, unsigned threads)
      : tasks_(tasks),
        base_{base, nullptr},
        workers_(threads),
        sizes_(threads),
        with_base_(tasks.size()),
        samples_(tasks.size()) {}

  Result<std::vector<TensorSample>> Run() {
    const std::vector<bool> leads = Leaders(tasks_);
    std::vector<size_t> leaders, others;
    for (size_t i = 0; i < tasks_.size(); ++i) {
      with_base_[i] = tasks_[i].base_tensor.has_value();
      if (tasks_[i].has_blocks()) (leads[i] ? leaders : others).push_back(i);
    }
    BITSNAP_TRY(Sample(leaders));
    std::map<Kind, std::array<uint64_t, 2>> leaders_bytes;  // without the base and with it
    for (size_t i : leaders) {
      auto& [without, with] = leaders_bytes[KindOf(tasks_[i])];
      without += EstimateBytes(samples_[i], false);
      with += EstimateBytes(samples_[i], true);
    }
    const auto pays = [&](size_t i) {
      const auto [without, with] = leaders_bytes[KindOf(tasks_[i])];
      return with + without / kLeaderGain < without;
    };
    for (size_t i : others) {
      with_base_[i] = with_base_[i] && (pays(i) || LooksUnchanged(i));
    }
    BITSNAP_TRY(Sample(others));
    return std::move(samples_);
  }

 private:
  struct Worker {
    Workspace workspace;
    std::vector<std::byte> out;
  };

  Result<void> Sample(std::span<const size_t> tensors) {
    std::vector<BlockRange> pieces;
    for (size_t i : tensors) {
      TensorSample& sample = samples_[i];
      sample.tensor_bytes = tasks_[i].parts() * tasks_[i].tensor->bytes.size();
      for (const Variant& variant : VariantsOf(tasks_[i], with_base_[i])) {
        sample.codecs.push_back({variant.codec->id(), variant.with_base, 0});
      }
      AppendPieces(i, tasks_[i], pieces);
    }
    return RunOrdered({
        .count = pieces.size(),
        .threads = static_cast<unsigned>(workers_.size()),
        .slots = sizes_.size(),
        .produce = [&](size_t item, size_t slot,
                       unsigned worker) { return Try(pieces[item], sizes_[slot], worker); },
        .consume = [&](size_t item, size_t slot) -> Result<void> {
          TensorSample& sample = samples_[pieces[item].tensor];
          sample.sampled_bytes += pieces[item].bytes;
          for (size_t i = 0; i < sample.codecs.size(); ++i) {
            sample.codecs[i].coded_bytes += sizes_[slot][i];
          }
          return {};
        },
    });
  }

  // Whether a block equals the base's, as its checksum tells without decoding it.
  bool LooksUnchanged(size_t number) const {
    const EncodeTask& task = tasks_[number];
    const Place place = Locate(base_, *task.base_tensor);
    const auto& blocks = place.source.file->index().tensors[place.tensor].blocks;
    if (task.second || place.parts != 1 || blocks.empty()) return false;
    const Bytes bytes = task.tensor->bytes;
    return Checksum64(bytes.first(std::min(bytes.size(), kBlockBytes))) == blocks[0].raw_checksum;
  }

  // Codes a piece in every variant.
  Result<void> Try(const BlockRange& piece, std::vector<uint64_t>& sizes, unsigned number) {
    Worker& worker = workers_[number];
    worker.out.resize(PayloadBound(2 * kSamplePieceBytes));
    sizes.clear();
    const bool leans = with_base_[piece.tensor];
    BITSNAP_ASSIGN(
        const BlockData with_base,
        ReadBlockData(tasks_, piece, leans ? base_ : SnapshotSource{}, worker.workspace));
    const Bytes raw = AllParts(with_base);
    BlockContext without_base = with_base.context;
    without_base.base.reset();
    without_base.coded_base.reset();
    for (const Variant& variant : VariantsOf(tasks_[piece.tensor], leans)) {
      const BlockContext& context = variant.with_base ? with_base.context : without_base;
      sizes.push_back(variant.codec->Estimate(context, raw, worker.out, worker.workspace.scratch));
    }
    return {};
  }

  const std::span<const EncodeTask> tasks_;
  const SnapshotSource base_;
  std::vector<Worker> workers_;
  std::vector<std::vector<uint64_t>> sizes_;  // by slot: coded bytes of each variant
  std::vector<bool> with_base_;               // of each task: whether it is sampled with the base
  std::vector<TensorSample> samples_;
};

}  // namespace

Result<std::vector<TensorSample>> SampleTasks(std::span<const EncodeTask> tasks,
                                              const SnapshotReader* base, unsigned threads) {
  return Sampler(tasks, base, threads).Run();
}

}  // namespace bitsnap
