#include "pipeline/block_encoder.h"

#include <algorithm>
#include <cstring>

namespace bitsnap {
namespace {

bool HasBaseFor(const Codec& codec, const BlockContext& context) {
  if (codec.base_form() == BaseForm::kCoded) return context.coded_base.has_value();
  return !context.base.empty();
}

bool Applies(const Codec& codec, const BlockContext& context, const Parts& parts) {
  return codec.parts() == parts.size() &&
         std::ranges::all_of(parts, [&](const Part& part) { return codec.Supports(part.dtype); }) &&
         (!codec.needs_base() || HasBaseFor(codec, context)) &&
         (!codec.needs_peer() || (context.peer && codec.SupportsPeer(context.peer->dtype)));
}

struct Choice {
  const Codec* codec = &FallbackCodec();
  Encoded coded;

  bool is_raw() const { return codec == &FallbackCodec(); }
};

// Leaves the payload of the choice in `out`, unless raw wins. A lossy plan's codecs leave in
// `decoded` what will come back.
Choice Choose(const UnitPlan& plan, const BlockContext& context, const Parts& parts,
              MutableBytes out, const MutableParts& decoded, Workspace& workspace) {
  const size_t raw_bytes = RawBytes(parts);
  Choice best{.coded = {raw_bytes}};
  // Whether the block has come out clearly larger than the sample promised.
  const auto disappoints = [&] {
    return 16 * best.coded.bytes * plan.sampled_bytes > 17 * raw_bytes * plan.coded_bytes;
  };
  for (const auto* codecs : {&plan.codecs, &plan.others}) {
    if (codecs == &plan.others && !plan.lossy && !disappoints()) break;
    for (CodecId id : *codecs) {
      const Codec& codec = GetCodec(id);
      if (!Applies(codec, context, parts)) continue;
      const MutableBytes target = best.is_raw() ? out : Room(workspace.coded, out.size());
      const auto coded =
          codec.Encode(context, parts, best.coded.bytes, target, decoded, workspace.scratch);
      if (!coded) continue;
      if (!best.is_raw()) std::memcpy(out.data(), target.data(), coded->bytes);
      best = {&codec, *coded};
      if (plan.lossy) return best;
    }
  }
  return best;
}

}  // namespace

size_t PayloadBound(size_t raw_bytes) {
  size_t bound = raw_bytes;
  for (const Codec* codec : AllCodecs()) bound = std::max(bound, codec->EncodeBound(raw_bytes));
  return bound;
}

EncodedBlock EncodeBlock(const UnitPlan& plan, const BlockContext& context, const Parts& parts,
                         MutableBytes out, Workspace& workspace) {
  MutableParts decoded;
  if (plan.lossy) decoded = CutLike(parts, Room(workspace.decoded, RawBytes(parts)));
  const Choice choice = Choose(plan, context, parts, out, decoded, workspace);
  if (choice.is_raw()) {
    (void)choice.codec->Encode(context, parts, SIZE_MAX, out, {}, workspace.scratch);
  }
  // Raw parts are looked at once: see BlockData.
  const bool lossy = plan.lossy && !choice.is_raw();
  const Bytes payload = out.first(choice.coded.bytes);
  const uint64_t coded_checksum = Checksum64(payload);
  EncodedBlock block;
  block.record = {.codec = static_cast<uint8_t>(choice.codec->id()),
                  .coded_bytes = static_cast<uint32_t>(payload.size()),
                  .coded_checksum = coded_checksum,
                  .raw_checksum = choice.is_raw()
                                      ? coded_checksum
                                      : ChecksumOfAll(lossy ? BytesOf(decoded) : BytesOf(parts))};
  // Of a unit of several, its codec says what counts.
  if (lossy && parts.size() == 1) block.error = MeasureError(parts[0].bytes, decoded[0].bytes);
  if (lossy) block.error.update = choice.coded.update;
  return block;
}

}  // namespace bitsnap
