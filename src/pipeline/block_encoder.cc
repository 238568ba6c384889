#include "pipeline/block_encoder.h"

#include <algorithm>
#include <cstring>

namespace bitsnap {
namespace {

struct Choice {
  const Codec* codec = &GetCodec(CodecId::kRaw);
  size_t bytes = 0;
};

bool Applies(const Codec& codec, const BlockContext& context) {
  return codec.Supports(context.dtype) && (!codec.needs_base() || context.base) &&
         (!codec.needs_peer() || (context.peer && codec.SupportsPeer(context.peer->dtype)));
}

// Leaves the payload of the winner in `out`; nothing is written when raw wins.
Choice EncodeSmallest(const TensorPlan& plan, const BlockContext& context, Bytes raw,
                      MutableBytes out, Workspace& workspace) {
  Choice best{.bytes = raw.size()};
  for (CodecId id : plan.codecs) {
    const Codec& codec = GetCodec(id);
    if (!Applies(codec, context)) continue;
    const bool first = best.codec->id() == CodecId::kRaw;
    const MutableBytes target = first ? out : Room(workspace.coded, out.size());
    const auto bytes = codec.Encode(context, raw, best.bytes, target, workspace.scratch);
    if (!bytes) continue;
    if (!first) std::memcpy(out.data(), target.data(), *bytes);
    best = {&codec, *bytes};
  }
  return best;
}

// The codec that may lose something, which is alone in its plan; null where there is none.
const Codec* LossyOf(const TensorPlan& plan, const BlockContext& context) {
  if (plan.codecs.size() != 1) return nullptr;
  const Codec& codec = GetCodec(plan.codecs.front());
  return codec.IsLossless(context.params) || !Applies(codec, context) ? nullptr : &codec;
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
    const auto bytes = lossy->EncodeLossy(context, raw, raw.size(), out, room, workspace.scratch);
    if (bytes) {
      choice = {lossy, *bytes};
      decoded = room;
      if (lossy->parts() == 1) block.error = MeasureError(raw, decoded);
    }
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
