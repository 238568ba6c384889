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

// Whether its codec, which is alone then, may lose something.
bool MayLose(const TensorPlan& plan, const BlockContext& context) {
  return plan.codecs.size() == 1 && !GetCodec(plan.codecs.front()).IsLossless(context.params);
}

struct LossyChoice : Choice {
  ErrorSums error;
};

// By the first of the plan's codecs that suits the block, or raw. Leaves what comes back in
// `decoded`.
LossyChoice EncodeLossy(const TensorPlan& plan, const BlockContext& context, Bytes raw,
                        MutableBytes out, MutableBytes decoded, Scratch& scratch) {
  for (const auto* codecs : {&plan.codecs, &plan.others}) {
    for (CodecId id : *codecs) {
      const Codec& codec = GetCodec(id);
      if (!Applies(codec, context)) continue;
      const auto coded = codec.EncodeLossy(context, raw, raw.size(), out, decoded, scratch);
      if (!coded) continue;
      LossyChoice choice{{&codec, coded->bytes}, {}};
      if (codec.parts() == 1) choice.error = MeasureError(raw, decoded);
      choice.error.update = coded->update;
      return choice;
    }
  }
  std::memcpy(decoded.data(), raw.data(), raw.size());
  return {{.bytes = raw.size()}, {}};
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
  Choice choice;
  Bytes decoded = raw;
  if (MayLose(plan, context)) {
    const MutableBytes room = Room(workspace.decoded, raw.size());
    const auto lossy = EncodeLossy(plan, context, raw, out, room, workspace.scratch);
    choice = lossy;
    block.error = lossy.error;
    decoded = room;
  } else {
    choice = EncodeSmallest(plan, context, raw, out, workspace);
  }
  block.record.raw_checksum = Checksum64(decoded);
  const bool is_raw = choice.codec->id() == CodecId::kRaw;
  if (is_raw) std::memcpy(out.data(), raw.data(), raw.size());
  block.record.codec = static_cast<uint8_t>(choice.codec->id());
  block.record.coded_bytes = static_cast<uint32_t>(choice.bytes);
  block.record.coded_checksum =
      is_raw ? block.record.raw_checksum : Checksum64(out.first(choice.bytes));
  return block;
}

}  // namespace bitsnap
