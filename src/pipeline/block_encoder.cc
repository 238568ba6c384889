#include "pipeline/block_encoder.h"

#include <algorithm>
#include <cstring>

namespace bitsnap {
namespace {

struct Choice {
  const Codec* codec = &GetCodec(CodecId::kRaw);
  size_t bytes = 0;
};

bool HasBaseFor(const Codec& codec, const BlockContext& context) {
  if (codec.base_form() == BaseForm::kCoded) return context.coded_base.has_value();
  return context.base.has_value();
}

bool Applies(const Codec& codec, const BlockContext& context) {
  return codec.Supports(context.dtype) && (!codec.needs_base() || HasBaseFor(codec, context)) &&
         (!codec.needs_peer() || (context.peer && codec.SupportsPeer(context.peer->dtype)));
}

// Tries codecs on one block and keeps the smallest payload.
class Trial {
 public:
  // Leaves the payload of the winner in `out`; nothing is written when raw wins.
  Trial(const BlockContext& context, Bytes raw, MutableBytes out, Workspace& workspace)
      : context_(context),
        raw_(raw),
        out_(out),
        workspace_(workspace),
        best_{.bytes = raw.size()} {}

  void Try(std::span<const CodecId> codecs) {
    for (CodecId id : codecs) {
      if (const Codec& codec = GetCodec(id); Applies(codec, context_)) Try(codec);
    }
  }

  const Choice& best() const { return best_; }

 private:
  void Try(const Codec& codec) {
    const bool first = best_.codec->id() == CodecId::kRaw;
    const MutableBytes target = first ? out_ : Room(workspace_.coded, out_.size());
    const auto bytes = codec.Encode(context_, raw_, best_.bytes, target, workspace_.scratch);
    if (!bytes) return;
    if (!first) std::memcpy(out_.data(), target.data(), *bytes);
    best_ = {&codec, *bytes};
  }

  const BlockContext& context_;
  const Bytes raw_;
  const MutableBytes out_;
  Workspace& workspace_;
  Choice best_;
};

// Whether a block has come out clearly larger than the sample promised.
bool IsWorseThanPromised(const TensorPlan& plan, size_t raw_bytes, size_t coded_bytes) {
  return 16 * coded_bytes * plan.sampled_bytes > 17 * raw_bytes * plan.coded_bytes;
}

Choice EncodeSmallest(const TensorPlan& plan, const BlockContext& context, Bytes raw,
                      MutableBytes out, Workspace& workspace) {
  Trial trial(context, raw, out, workspace);
  trial.Try(plan.codecs);
  if (IsWorseThanPromised(plan, raw.size(), trial.best().bytes)) trial.Try(plan.others);
  return trial.best();
}

// The codec that may lose something, which is alone in its plan; null where there is none.
const Codec* LossyOf(const TensorPlan& plan, const BlockContext& context) {
  if (plan.codecs.size() != 1) return nullptr;
  const Codec& codec = GetCodec(plan.codecs.front());
  return codec.IsLossless(context.params) || !Applies(codec, context) ? nullptr : &codec;
}

BlockRecord RecordOf(const Choice& choice, uint64_t raw_checksum, Bytes payload) {
  const bool is_raw = choice.codec->id() == CodecId::kRaw;
  return {.codec = static_cast<uint8_t>(choice.codec->id()),
          .coded_bytes = static_cast<uint32_t>(payload.size()),
          .coded_checksum = is_raw ? raw_checksum : Checksum64(payload),
          .raw_checksum = raw_checksum};
}

}  // namespace

size_t PayloadBound(size_t raw_bytes) {
  size_t bound = raw_bytes;
  for (const Codec* codec : AllCodecs()) bound = std::max(bound, codec->EncodeBound(raw_bytes));
  return bound;
}

EncodedBlock EncodeBlock(const TensorPlan& plan, const BlockContext& context, Bytes raw,
                         MutableBytes out, Workspace& workspace) {
  EncodedBlock block;
  Choice choice{.bytes = raw.size()};
  Bytes decoded = raw;
  if (const Codec* lossy = LossyOf(plan, context)) {
    const MutableBytes room = Room(workspace.decoded, raw.size());
    const auto coded = lossy->EncodeLossy(context, raw, raw.size(), out, room, workspace.scratch);
    if (coded) {
      choice = {lossy, coded->bytes};
      decoded = room;
      block.error = MeasureError(raw, decoded);
      block.error.update = coded->update;
    }
  } else {
    choice = EncodeSmallest(plan, context, raw, out, workspace);
  }
  if (choice.codec->id() == CodecId::kRaw) {
    std::memcpy(out.data(), raw.data(), raw.size());
    decoded = out.first(raw.size());  // `raw` is looked at once: see BlockData
  }
  block.record = RecordOf(choice, Checksum64(decoded), out.first(choice.bytes));
  return block;
}

EncodedBlock EncodePairBlock(const TensorPlan& plan, const BlockContext& context, Bytes first,
                             Bytes second, MutableBytes out, Workspace& workspace) {
  const size_t raw_bytes = first.size() + second.size();
  const MutableBytes decoded = Room(workspace.decoded, raw_bytes);
  for (const auto* codecs : {&plan.codecs, &plan.others}) {
    for (CodecId id : *codecs) {
      const Codec& codec = GetCodec(id);
      if (!Applies(codec, context)) continue;
      const auto coded =
          codec.EncodePair(context, first, second, raw_bytes, out, decoded, workspace.scratch);
      if (!coded) continue;
      EncodedBlock block{RecordOf({&codec}, Checksum64(decoded), out.first(coded->bytes)), {}};
      block.error.update = coded->update;
      return block;
    }
  }
  std::memcpy(out.data(), first.data(), first.size());
  std::memcpy(out.data() + first.size(), second.data(), second.size());
  return {RecordOf({}, Checksum64(first, second), out.first(raw_bytes)), {}};
}

}  // namespace bitsnap
