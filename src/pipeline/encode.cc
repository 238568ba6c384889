#include "pipeline/encode.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/block_encoder.h"
#include "pipeline/blocks.h"

namespace bitsnap {
namespace {

constexpr size_t kBatchesPerThread = 2;

// A slot of the ring between the threads that encode and the one that writes.
struct EncodedBatch {
  std::unique_ptr<std::byte[]> payload;  // of PayloadCapacity bytes, allocated when first used
  size_t payload_bytes = 0;
  std::vector<EncodedBlock> blocks;
};

size_t PayloadCapacity() { return kBatchBytes + PayloadBound(kBlockBytes); }

std::vector<BlockRange> BlocksOf(const EncodeInput& input) {
  std::vector<BlockRange> blocks;
  for (size_t i = 0; i < input.units.size(); ++i) {
    AppendBlocks(input.tensors, input.units[i], i, blocks);
  }
  return blocks;
}

class Encoder {
 public:
  Encoder(const EncodeInput& input, const SnapshotReader* base, unsigned threads,
          const Progress& progress, SnapshotWriter& writer)
      : input_(input),
        base_{base, nullptr},
        progress_(progress),
        writer_(writer),
        blocks_(BlocksOf(input)),
        batches_(SplitIntoBatches(blocks_)),
        workspaces_(threads),
        slots_(threads * kBatchesPerThread) {
    for (const BlockRange& block : blocks_) total_bytes_ += block.bytes;
  }

  Result<SnapshotIndex> Run() {
    index_.block_bytes = kBlockBytes;
    for (size_t i = 0; i < input_.tensors.size(); ++i) index_.tensors.push_back(EmptyRecord(i));
    for (const Unit& unit : input_.units) Begin(unit);
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
    return std::move(index_);
  }

 private:
  TensorRecord EmptyRecord(size_t tensor) const {
    TensorRecord record;
    record.info = input_.tensors[tensor].info;
    if (const auto twin = input_.same_as[tensor]) {
      record.storage = Storage::kSameAsTensor;
      record.same_as = *twin;
      record.why = fmt::format("the same bytes as \"{}\"", input_.tensors[*twin].info.name);
    }
    return record;
  }

  TensorRecord& FirstOf(const Unit& unit) { return index_.tensors[unit.tensors.front()]; }

  // The records of a unit before its blocks.
  void Begin(const Unit& unit) {
    for (uint32_t tensor : unit.tensors) {
      index_.tensors[tensor].storage = Storage::kSecondOfPair;
      index_.tensors[tensor].same_as = unit.tensors.front();
      index_.tensors[tensor].why = unit.why_others;
    }
    TensorRecord& first = FirstOf(unit);
    first.storage = Storage::kBlocks;
    first.same_as = 0;
    first.why = unit.plan.why;
    first.second.reset();
    if (unit.tensors.size() > 1) {
      first.second = unit.tensors[1];
      first.params = unit.params;
    }
  }

  Result<EncodedBlock> Encode(const Unit& unit, const BlockRange& block, MutableBytes out,
                              Workspace& workspace) const {
    BITSNAP_ASSIGN(const BlockData data,
                   ReadBlockData(input_.tensors, unit, block, base_, workspace));
    return EncodeBlock(unit.plan, data.context, data.parts, out, workspace);
  }

  Result<void> EncodeBatch(std::span<const BlockRange> batch, EncodedBatch& out,
                           Workspace& workspace) const {
    if (!out.payload) out.payload = std::make_unique_for_overwrite<std::byte[]>(PayloadCapacity());
    out.blocks.clear();
    out.payload_bytes = 0;
    for (const BlockRange& block : batch) {
      const MutableBytes target(out.payload.get() + out.payload_bytes,
                                PayloadCapacity() - out.payload_bytes);
      BITSNAP_ASSIGN(const EncodedBlock encoded,
                     Encode(input_.units[block.unit], block, target, workspace));
      out.payload_bytes += encoded.record.coded_bytes;
      out.blocks.push_back(encoded);
    }
    return {};
  }

  Result<void> WriteBatch(std::span<const BlockRange> batch, const EncodedBatch& encoded) {
    const Bytes payload(encoded.payload.get(), encoded.payload_bytes);
    size_t written = 0, end = 0;  // in the payload
    for (size_t i = 0; i < batch.size();) {
      const Unit& unit = input_.units[batch[i].unit];
      TensorRecord& first = FirstOf(unit);
      const size_t begin = end;
      if (first.blocks.empty()) first.data_offset = writer_.offset() + begin - written;
      for (const size_t number = batch[i].unit; i < batch.size() && batch[i].unit == number; ++i) {
        Add(unit, encoded.blocks[i]);
        end += encoded.blocks[i].record.coded_bytes;
        done_bytes_ += batch[i].bytes;
      }
      const bool complete = first.blocks.size() == ShapeOf(input_.tensors, unit).blocks();
      if (!unit.has_bound() || (complete && held_.empty() && KeepsBound(unit))) {
        if (complete) Complete(unit);
        continue;
      }
      BITSNAP_TRY(writer_.Append(payload.subspan(written, begin - written)));
      held_.emplace_back(payload.begin() + begin, payload.begin() + end);
      written = end;
      if (complete) BITSNAP_TRY(Release(unit));
    }
    BITSNAP_TRY(writer_.Append(payload.subspan(written)));
    if (progress_ && !progress_(done_bytes_, total_bytes_)) {
      return Fail(ErrorKind::kCancelled, "saving was cancelled");
    }
    return {};
  }

  void Add(const Unit& unit, const EncodedBlock& block) {
    FirstOf(unit).blocks.push_back(block.record);
    error_.Add(block.error);
  }

  bool KeepsBound(const Unit& unit) const {
    return RelativeError(error_.update) <= unit.update_error;
  }

  // All blocks of the unit are held and nothing else is.
  Result<void> Release(const Unit& unit) {
    const auto held = std::exchange(held_, {});
    if (!KeepsBound(unit)) return EncodeExactly(unit);
    FirstOf(unit).data_offset = writer_.offset();
    for (const auto& payload : held) BITSNAP_TRY(writer_.Append(payload));
    Complete(unit);
    return {};
  }

  // In the stead of `unit`, what it holds for that. One block after the other: this is rare.
  Result<void> EncodeExactly(const Unit& unit) {
    const double update_error = RelativeError(std::exchange(error_, {}).update);
    FirstOf(unit).blocks.clear();
    FirstOf(unit).params.clear();
    std::vector<std::byte> room(PayloadBound(kBlockBytes));
    Workspace workspace;
    for (const Unit& exact : unit.exact) {
      Begin(exact);
      TensorRecord& record = FirstOf(exact);
      record.why =
          fmt::format("kept exactly: Adam's update would be {:.2g} % off", 100 * update_error);
      record.data_offset = writer_.offset();
      std::vector<BlockRange> blocks;
      AppendBlocks(input_.tensors, exact, 0, blocks);
      for (const BlockRange& block : blocks) {
        BITSNAP_ASSIGN(const EncodedBlock encoded, Encode(exact, block, room, workspace));
        Add(exact, encoded);
        BITSNAP_TRY(writer_.Append(Bytes(room).first(encoded.record.coded_bytes)));
      }
      Complete(exact);
    }
    return {};
  }

  // What can only be said of a unit once all of its blocks are coded.
  void Complete(const Unit& unit) {
    const ErrorSums error = std::exchange(error_, {});
    TensorRecord& first = FirstOf(unit);
    const bool is_one = unit.tensors.size() == 1;
    bool leans_on_base = false, leans_on_peer = false, lossy = false, same = !first.blocks.empty();
    for (const BlockRecord& block : first.blocks) {
      const Codec& codec = *FindCodec(block.codec);
      leans_on_base |= codec.base_form() != BaseForm::kNone;
      leans_on_peer |= codec.needs_peer();
      lossy |= !codec.IsLossless(unit.params);
      same &= codec.needs_base() && block.coded_bytes == 0;
    }
    for (size_t k = 0; k < unit.tensors.size(); ++k) {
      TensorRecord& record = index_.tensors[unit.tensors[k]];
      if (lossy) record.error = is_one ? ToMetrics(error) : ToMetrics(error.update);
      if (leans_on_base && !unit.base_tensors.empty()) record.base_tensor = unit.base_tensors[k];
    }
    if (leans_on_peer) {
      first.peer = unit.peer;
      first.params = unit.params;
    }
    if (same) SetSameAsBase(first);
  }

  static void SetSameAsBase(TensorRecord& record) {
    record.storage = Storage::kSameAsBase;
    record.blocks.clear();
    record.params.clear();
    record.data_offset = 0;
    record.why = "unchanged since the base";
  }

  const EncodeInput& input_;
  const SnapshotSource base_;
  const Progress& progress_;
  SnapshotWriter& writer_;
  const std::vector<BlockRange> blocks_;
  const std::vector<std::span<const BlockRange>> batches_;
  std::vector<Workspace> workspaces_;  // one a worker
  std::vector<EncodedBatch> slots_;

  // Of the one thread that writes.
  SnapshotIndex index_;
  ErrorSums error_;                           // of the unit whose blocks come, so far
  std::vector<std::vector<std::byte>> held_;  // its payloads, if it has a bound
  uint64_t done_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace

Result<SnapshotIndex> EncodeUnits(const EncodeInput& input, const SnapshotReader* base,
                                  unsigned threads, const Progress& progress,
                                  SnapshotWriter& writer) {
  return Encoder(input, base, threads, progress, writer).Run();
}

}  // namespace bitsnap
