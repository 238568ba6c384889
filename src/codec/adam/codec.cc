#include "codec/adam/codec.h"

#include <cstring>

#include "codec/adam/block.h"
#include "codec/adam/params.h"
#include "codec/adam/prepare.h"

namespace bitsnap {
namespace {

// The frame of a block; nullopt when the params are malformed or of another tensor.
std::optional<adam::BlockFrame> FrameOf(const BlockContext& context) {
  const std::optional<adam::Params> params = adam::ReadParams(context.params);
  if (!params) return std::nullopt;
  const size_t part = context.raw_bytes / 2;
  const size_t words = part / sizeof(float);
  if (context.first_word > UINT64_MAX - words) return std::nullopt;
  if (!adam::Covers(*params, context.first_word + words)) return std::nullopt;
  adam::BlockFrame frame{*params, context.first_word, {}, {}};
  if (context.base) {
    frame.base_v = context.base->first(part);
    frame.base_m = context.base->subspan(part);
  }
  return frame;
}

template <class Span>
adam::Moments<Span> Halves(Span pair) {
  return {pair.first(pair.size() / 2), pair.subspan(pair.size() / 2)};
}

class Adam final : public Codec {
 public:
  CodecId id() const override { return CodecId::kAdam; }
  std::string_view name() const override { return "adam"; }
  bool IsLossless(Bytes) const override { return false; }
  size_t parts() const override { return 2; }
  bool uses_base() const override { return true; }
  bool Supports(DType dtype) const override { return dtype == DType::kF32; }

  std::optional<Prepared> Prepare(const TensorContext& tensor) const override {
    const adam::AdamTensor pair{tensor.first, tensor.second, tensor.row_words};
    auto choice = adam::Prepare(pair, tensor.accepted.update_error, tensor.accepted.eps);
    if (!choice) return std::nullopt;
    const auto stretch = std::as_bytes(std::span(&choice->stretch, 1));
    return Prepared{std::move(choice->params), {stretch.begin(), stretch.end()}};
  }

  size_t EncodeBound(size_t raw_bytes) const override {
    return adam::BlockBound(raw_bytes / 2 / sizeof(float));
  }

  std::optional<size_t> Encode(const BlockContext& context, Bytes raw, size_t limit,
                               MutableBytes out, Scratch& scratch) const override {
    const auto block = EncodeLossy(context, raw, limit, out, {}, scratch);
    return block ? std::optional(block->bytes) : std::nullopt;
  }

  std::optional<LossyBlock> EncodeLossy(const BlockContext& context, Bytes raw, size_t limit,
                                        MutableBytes out, MutableBytes decoded,
                                        Scratch& scratch) const override {
    auto frame = FrameOf(context);
    if (!frame) return std::nullopt;
    if (!context.advice.empty()) {
      std::memcpy(&frame->params.stretch, context.advice.data(), sizeof(adam::Stretch));
    }
    return adam::EncodeBlock(*frame, Halves(raw), limit, out, Halves(decoded), scratch);
  }

  Result<void> Decode(const BlockContext& context, Bytes coded, MutableBytes out,
                      Scratch& scratch) const override {
    const auto frame = FrameOf(context);
    if (!frame) return Fail(ErrorKind::kCorrupt, "adam block has malformed parameters");
    return adam::DecodeBlock(*frame, coded, Halves(out), scratch);
  }
};

}  // namespace

const Codec& AdamCodec() {
  static const Adam codec;
  return codec;
}

}  // namespace bitsnap
