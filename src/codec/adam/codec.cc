#include "codec/adam/codec.h"

#include <cstring>

#include "codec/adam/block.h"
#include "codec/adam/params.h"
#include "codec/adam/prepare.h"

namespace bitsnap {
namespace {

size_t PairsIn(size_t raw_bytes) { return raw_bytes / (2 * sizeof(float)); }

// Of a block or of its base; nullopt when they are malformed or of another tensor.
std::optional<adam::Params> ParamsOf(Bytes bytes, uint64_t first, size_t pairs) {
  const std::optional<adam::Params> params = adam::ReadParams(bytes);
  if (!params || first > UINT64_MAX - pairs) return std::nullopt;
  if (!adam::Covers(*params, first + pairs)) return std::nullopt;
  return params;
}

// Nullopt when the base's block is not as `adam` left it.
std::optional<adam::BaseBlock> BaseBlockOf(const BlockContext& context, size_t pairs) {
  if (!context.coded_base) return std::nullopt;
  const CodedBlock& base = *context.coded_base;
  if (base.codec != CodecId::kAdam || PairsIn(base.raw_bytes) < pairs) return std::nullopt;
  const auto params = ParamsOf(base.params, context.first_word, PairsIn(base.raw_bytes));
  if (!params) return std::nullopt;
  return adam::BaseBlock{*params, context.first_word, base.payload, PairsIn(base.raw_bytes)};
}

// v and m; none of no parts.
template <class Span>
adam::Moments<Span> MomentsOf(const PartList<PartOf<Span>>& parts) {
  return {parts[0].bytes, parts[1].bytes};
}

// What both codecs are; they differ in where the base's indices come from.
class MomentsCodec : public Codec {
 public:
  // An exp_avg_sq and its exp_avg.
  size_t parts() const override { return 2; }
  bool Supports(DType dtype) const override { return dtype == DType::kF32; }
  Loss LossWithin(const Accepted&) const override { return Loss::kAccepted; }
  bool IsLossless(Bytes) const override { return false; }

  std::optional<Prepared> Prepare(const UnitContext& unit) const override {
    auto choice = Choose({unit.parts[0].bytes, unit.parts[1].bytes, unit.row_words}, unit);
    if (!choice) return std::nullopt;
    const auto stretch = std::as_bytes(std::span(&choice->stretch, 1));
    return Prepared{std::move(choice->params), {stretch.begin(), stretch.end()}};
  }

  size_t EncodeBound(size_t raw_bytes) const override {
    return adam::BlockBound(PairsIn(raw_bytes));
  }

  std::optional<Encoded> Encode(const BlockContext& context, const Parts& parts, size_t limit,
                                MutableBytes out, const MutableParts& decoded,
                                Scratch& scratch) const override {
    const size_t pairs = parts[0].words();
    auto params = ParamsOf(context.params, context.first_word, pairs);
    const std::optional<adam::BaseBlock> base = BaseOf(context, pairs);
    if (!params || (needs_base() && !base)) return std::nullopt;
    if (!context.advice.empty()) {
      std::memcpy(&params->stretch, context.advice.data(), sizeof(adam::Stretch));
    }
    return adam::EncodeBlock(FrameOf(context, *params, base), MomentsOf(parts), limit, out,
                             MomentsOf(decoded), scratch);
  }

  Result<void> Decode(const BlockContext& context, Bytes coded, const MutableParts& parts,
                      Scratch& scratch) const override {
    const size_t pairs = parts[0].words();
    const auto params = ParamsOf(context.params, context.first_word, pairs);
    if (!params) return Fail(ErrorKind::kCorrupt, "adam block has malformed parameters");
    const std::optional<adam::BaseBlock> base = BaseOf(context, pairs);
    if (needs_base() && !base) {
      return Fail(ErrorKind::kCorrupt, "adam block leans on a base of another form");
    }
    return adam::DecodeBlock(FrameOf(context, *params, base), coded, MomentsOf(parts), scratch);
  }

 private:
  virtual std::optional<adam::Choice> Choose(const adam::AdamTensor& pair,
                                             const UnitContext& unit) const = 0;

  std::optional<adam::BaseBlock> BaseOf(const BlockContext& context, size_t pairs) const {
    return needs_base() ? BaseBlockOf(context, pairs) : std::nullopt;
  }

  adam::BlockFrame FrameOf(const BlockContext& context, const adam::Params& params,
                           const std::optional<adam::BaseBlock>& base) const {
    adam::BlockFrame frame{params, context.first_word};
    if (base) {
      frame.coded_base = &*base;
    } else if (!context.base.empty()) {
      frame.base_v = context.base[0];
      frame.base_m = context.base[1];
    }
    return frame;
  }
};

class Adam final : public MomentsCodec {
 public:
  CodecId id() const override { return CodecId::kAdam; }
  std::string_view name() const override { return "adam"; }
  BaseForm base_form() const override { return BaseForm::kDecoded; }

 private:
  std::optional<adam::Choice> Choose(const adam::AdamTensor& pair,
                                     const UnitContext& unit) const override {
    return adam::Prepare(pair, unit.accepted.update_error, unit.accepted.eps);
  }
};

class AdamDelta final : public MomentsCodec {
 public:
  CodecId id() const override { return CodecId::kAdamDelta; }
  std::string_view name() const override { return "adam_delta"; }
  bool needs_base() const override { return true; }
  BaseForm base_form() const override { return BaseForm::kCoded; }
  // Coding takes half as long again, and a restore without the base is worth something.
  uint64_t gain_to_ask() const override { return 64; }

 private:
  std::optional<adam::Choice> Choose(const adam::AdamTensor& pair,
                                     const UnitContext& unit) const override {
    const auto base = ParamsOf(unit.base_params, 0, pair.v.size() / sizeof(float));
    if (!base) return std::nullopt;
    return adam::PrepareOnBase(pair, *base, unit.accepted.update_error, unit.accepted.eps);
  }
};

}  // namespace

const Codec& AdamCodec() {
  static const Adam codec;
  return codec;
}

const Codec& AdamDeltaCodec() {
  static const AdamDelta codec;
  return codec;
}

}  // namespace bitsnap
