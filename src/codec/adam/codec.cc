#include "codec/adam/codec.h"

#include <cstring>

#include "codec/adam/block.h"
#include "codec/adam/params.h"
#include "codec/adam/prepare.h"

namespace bitsnap {
namespace {

size_t Pairs(size_t raw_bytes) { return raw_bytes / (2 * sizeof(float)); }

// Of a block or of its base; nullopt when they are malformed or of another tensor.
std::optional<adam::Params> ParamsOf(Bytes bytes, uint64_t first, size_t pairs) {
  const std::optional<adam::Params> params = adam::ReadParams(bytes);
  if (!params || first > UINT64_MAX - pairs) return std::nullopt;
  if (!adam::Covers(*params, first + pairs)) return std::nullopt;
  return params;
}

// Nullopt when the base's block is not as `adam` left it.
std::optional<adam::BaseBlock> BaseBlockOf(const BlockContext& context) {
  if (!context.coded_base) return std::nullopt;
  const CodedBlock& base = *context.coded_base;
  if (base.codec != CodecId::kAdam || base.raw_bytes < context.raw_bytes) return std::nullopt;
  const auto params = ParamsOf(base.params, context.first_word, Pairs(base.raw_bytes));
  if (!params) return std::nullopt;
  return adam::BaseBlock{*params, context.first_word, base.payload, Pairs(base.raw_bytes)};
}

template <class Span>
adam::Moments<Span> Halves(Span pair) {
  return {pair.first(pair.size() / 2), pair.subspan(pair.size() / 2)};
}

// What both codecs are; they differ in where the base's indices come from.
class PairCodec : public Codec {
 public:
  bool IsLossless(Bytes) const override { return false; }
  size_t parts() const override { return 2; }
  bool Supports(DType dtype) const override { return dtype == DType::kF32; }

  std::optional<Prepared> Prepare(const TensorContext& tensor) const override {
    auto choice = Choose({tensor.first, tensor.second, tensor.row_words}, tensor);
    if (!choice) return std::nullopt;
    const auto stretch = std::as_bytes(std::span(&choice->stretch, 1));
    return Prepared{std::move(choice->params), {stretch.begin(), stretch.end()}};
  }

  size_t EncodeBound(size_t raw_bytes) const override { return adam::BlockBound(Pairs(raw_bytes)); }

  std::optional<size_t> Encode(const BlockContext& context, Bytes raw, size_t limit,
                               MutableBytes out, Scratch& scratch) const override {
    const auto block = EncodeLossy(context, raw, limit, out, {}, scratch);
    return block ? std::optional(block->bytes) : std::nullopt;
  }

  std::optional<LossyBlock> EncodeLossy(const BlockContext& context, Bytes raw, size_t limit,
                                        MutableBytes out, MutableBytes decoded,
                                        Scratch& scratch) const override {
    const auto halves = Halves(raw);
    return EncodePair(context, halves.v, halves.m, limit, out, decoded, scratch);
  }

  std::optional<LossyBlock> EncodePair(const BlockContext& context, Bytes v, Bytes m, size_t limit,
                                       MutableBytes out, MutableBytes decoded,
                                       Scratch& scratch) const override {
    auto params = ParamsOf(context.params, context.first_word, Pairs(context.raw_bytes));
    const std::optional<adam::BaseBlock> base = BaseOf(context);
    if (!params || (needs_base() && !base)) return std::nullopt;
    if (!context.advice.empty()) {
      std::memcpy(&params->stretch, context.advice.data(), sizeof(adam::Stretch));
    }
    return adam::EncodeBlock(FrameOf(context, *params, base), {v, m}, limit, out, Halves(decoded),
                             scratch);
  }

  Result<void> Decode(const BlockContext& context, Bytes coded, MutableBytes out,
                      Scratch& scratch) const override {
    const auto halves = Halves(out);
    return DecodePair(context, coded, halves.v, halves.m, scratch);
  }

  Result<void> DecodePair(const BlockContext& context, Bytes coded, MutableBytes v, MutableBytes m,
                          Scratch& scratch) const override {
    const auto params = ParamsOf(context.params, context.first_word, Pairs(context.raw_bytes));
    if (!params) return Fail(ErrorKind::kCorrupt, "adam block has malformed parameters");
    const std::optional<adam::BaseBlock> base = BaseOf(context);
    if (needs_base() && !base) {
      return Fail(ErrorKind::kCorrupt, "adam block leans on a base of another form");
    }
    return adam::DecodeBlock(FrameOf(context, *params, base), coded, {v, m}, scratch);
  }

 private:
  virtual std::optional<adam::Choice> Choose(const adam::AdamTensor& pair,
                                             const TensorContext& tensor) const = 0;

  std::optional<adam::BaseBlock> BaseOf(const BlockContext& context) const {
    return needs_base() ? BaseBlockOf(context) : std::nullopt;
  }

  adam::BlockFrame FrameOf(const BlockContext& context, const adam::Params& params,
                           const std::optional<adam::BaseBlock>& base) const {
    adam::BlockFrame frame{params, context.first_word};
    if (base) {
      frame.coded_base = &*base;
    } else if (context.base) {
      const auto halves = Halves(*context.base);
      frame.base_v = halves.v;
      frame.base_m = halves.m;
    }
    return frame;
  }
};

class Adam final : public PairCodec {
 public:
  CodecId id() const override { return CodecId::kAdam; }
  std::string_view name() const override { return "adam"; }
  BaseForm base_form() const override { return BaseForm::kDecoded; }

 private:
  std::optional<adam::Choice> Choose(const adam::AdamTensor& pair,
                                     const TensorContext& tensor) const override {
    return adam::Prepare(pair, tensor.accepted.update_error, tensor.accepted.eps);
  }
};

class AdamDelta final : public PairCodec {
 public:
  CodecId id() const override { return CodecId::kAdamDelta; }
  std::string_view name() const override { return "adam_delta"; }
  bool needs_base() const override { return true; }
  BaseForm base_form() const override { return BaseForm::kCoded; }

 private:
  std::optional<adam::Choice> Choose(const adam::AdamTensor& pair,
                                     const TensorContext& tensor) const override {
    const auto base = ParamsOf(tensor.base_params, 0, pair.v.size() / sizeof(float));
    if (!base) return std::nullopt;
    return adam::PrepareOnBase(pair, *base, tensor.accepted.update_error, tensor.accepted.eps);
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
