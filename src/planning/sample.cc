#include "planning/sample.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "base/checked.h"
#include "base/checksum.h"
#include "base/parallel.h"
#include "base/try.h"
#include "pipeline/block_encoder.h"
#include "pipeline/blocks.h"

namespace bitsnap {
namespace {

// The heads of blocks spread evenly over the unit.
void AppendPieces(const EncodeInput& input, size_t number, std::vector<BlockRange>& pieces) {
  const Unit& unit = input.units[number];
  std::vector<BlockRange> blocks;
  AppendBlocks(input.tensors, unit, number, blocks);
  const size_t row_bytes = ShapeOf(input.tensors, unit).row_bytes();
  const size_t wanted = CeilDiv(blocks.size(), kSampleOneIn);
  for (size_t i = 0; i < wanted; ++i) {
    BlockRange piece = blocks[blocks.size() * (2 * i + 1) / (2 * wanted)];
    piece.words = std::min(piece.words, unit.tensors.size() * kSamplePieceBytes / row_bytes);
    piece.bytes = piece.words * row_bytes;
    pieces.push_back(piece);
  }
}

struct Variant {
  const Codec* codec;
  bool with_base;
};

std::vector<Variant> VariantsOf(const UnitPlan& plan, bool with_base) {
  std::vector<Variant> variants;
  for (CodecId id : plan.codecs) {
    const Codec& codec = GetCodec(id);
    if (codec.base_form() != BaseForm::kNone && with_base) variants.push_back({&codec, true});
    if (!codec.needs_base()) variants.push_back({&codec, false});
  }
  // What remains where the base's blocks are of no use.
  for (CodecId id : plan.others) variants.push_back({&GetCodec(id), false});
  return variants;
}

// Units that are expected to change alike.
using Kind = std::tuple<Role, DType>;

class Sampler {
 public:
  Sampler(const EncodeInput& input, const SnapshotReader* base, unsigned threads)
      : input_(input),
        base_{base, nullptr},
        workers_(threads),
        sizes_(threads),
        with_base_(input.units.size()),
        samples_(input.units.size()) {}

  Result<std::vector<UnitSample>> Run() {
    const std::vector<bool> leads = Leaders();
    std::vector<size_t> leaders, others;
    for (size_t i = 0; i < input_.units.size(); ++i) {
      with_base_[i] = !input_.units[i].base_tensors.empty();
      (leads[i] ? leaders : others).push_back(i);
    }
    BITSNAP_TRY(Sample(leaders));
    std::map<Kind, std::array<uint64_t, 2>> leaders_bytes;  // without the base and with it
    for (size_t i : leaders) {
      auto& [without, with] = leaders_bytes[KindOf(i)];
      without += EstimateBytes(samples_[i], false);
      with += EstimateBytes(samples_[i], true);
    }
    const auto pays = [&](size_t i) {
      const auto [without, with] = leaders_bytes[KindOf(i)];
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

  const TensorView& FirstOf(size_t unit) const {
    return input_.tensors[input_.units[unit].tensors.front()];
  }
  Kind KindOf(size_t unit) const {
    const TensorInfo& info = FirstOf(unit).info;
    return {*info.role, info.dtype};
  }

  // Units that are sampled first, to tell whether the base pays for the others of their kind: all
  // that are so large that it hardly matters, and one in a few of the others, of all sizes.
  std::vector<bool> Leaders() const {
    const auto size = [this](size_t unit) { return FirstOf(unit).bytes.size(); };
    std::map<Kind, std::vector<size_t>> kinds;
    std::vector<bool> leads(input_.units.size(), true);
    for (size_t i = 0; i < input_.units.size(); ++i) {
      if (size(i) < kSampleOneIn / 2 * kBlockBytes) kinds[KindOf(i)].push_back(i);
    }
    for (auto& [kind, numbers] : kinds) {
      std::ranges::stable_sort(numbers, std::ranges::greater(), size);
      for (size_t n = 0; n < numbers.size(); ++n) leads[numbers[n]] = n % kLeaderOneIn == 0;
    }
    return leads;
  }

  Result<void> Sample(std::span<const size_t> units) {
    std::vector<BlockRange> pieces;
    for (size_t i : units) {
      const Unit& unit = input_.units[i];
      for (uint32_t tensor : unit.tensors) {
        samples_[i].unit_bytes += input_.tensors[tensor].bytes.size();
      }
      for (const Variant& variant : VariantsOf(unit.plan, with_base_[i])) {
        samples_[i].codecs.push_back({variant.codec->id(), variant.with_base, 0});
      }
      AppendPieces(input_, i, pieces);
    }
    return RunOrdered({
        .count = pieces.size(),
        .threads = static_cast<unsigned>(workers_.size()),
        .slots = sizes_.size(),
        .produce = [&](size_t item, size_t slot,
                       unsigned worker) { return Try(pieces[item], sizes_[slot], worker); },
        .consume = [&](size_t item, size_t slot) -> Result<void> {
          UnitSample& sample = samples_[pieces[item].unit];
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
    const Unit& unit = input_.units[number];
    const Place place = Locate(base_, unit.base_tensors.front());
    const auto& blocks = place.source.file->index().tensors[place.tensor].blocks;
    if (unit.tensors.size() != 1 || place.shape.parts() != 1 || blocks.empty()) return false;
    const Bytes bytes = FirstOf(number).bytes;
    return Checksum64(bytes.first(std::min(bytes.size(), kBlockBytes))) == blocks[0].raw_checksum;
  }

  // Codes a piece in every variant.
  Result<void> Try(const BlockRange& piece, std::vector<uint64_t>& sizes, unsigned number) {
    const Unit& unit = input_.units[piece.unit];
    Worker& worker = workers_[number];
    worker.out.resize(PayloadBound(kMaxParts * kSamplePieceBytes));
    sizes.clear();
    const bool leans = with_base_[piece.unit];
    BITSNAP_ASSIGN(const BlockData with_base,
                   ReadBlockData(input_.tensors, unit, piece, leans ? base_ : SnapshotSource{},
                                 worker.workspace));
    BlockContext without_base = with_base.context;
    without_base.base = {};
    without_base.coded_base.reset();
    for (const Variant& variant : VariantsOf(unit.plan, leans)) {
      const BlockContext& context = variant.with_base ? with_base.context : without_base;
      sizes.push_back(
          variant.codec->Estimate(context, with_base.parts, worker.out, worker.workspace.scratch));
    }
    return {};
  }

  const EncodeInput& input_;
  const SnapshotSource base_;
  std::vector<Worker> workers_;
  std::vector<std::vector<uint64_t>> sizes_;  // by slot: coded bytes of each variant
  std::vector<bool> with_base_;               // of each unit: whether it is sampled with the base
  std::vector<UnitSample> samples_;
};

}  // namespace

Result<std::vector<UnitSample>> SampleUnits(const EncodeInput& input, const SnapshotReader* base,
                                            unsigned threads) {
  return Sampler(input, base, threads).Run();
}

}  // namespace bitsnap
