// Every codec against hostile bytes. The input's head chooses codec, dtype, block size, base, peer,
// parameters and one flipped byte; the rest is decoded as a payload, and coded as data, decoded,
// compared, and decoded again with the flipped byte.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "codec/codec.h"

namespace bitsnap {
namespace {

struct Head {
  uint8_t codec;
  uint8_t dtype;
  uint16_t words;       // of the block that the payload claims to be
  uint8_t base_stride;  // every so manieth byte of the base differs from the data; 0: none does
  uint8_t flip;
  uint16_t flip_at;
};
static_assert(sizeof(Head) == 8);

void Require(bool condition) {
  if (!condition) std::abort();
}

// Of exactly `size` bytes, so that the address sanitizer sees what is read past the end.
std::vector<std::byte> MakeBase(Bytes like, size_t size, size_t stride) {
  std::vector<std::byte> base(size);
  std::copy_n(like.begin(), std::min(like.size(), size), base.begin());
  for (size_t i = 0; stride > 0 && i < size; i += stride) base[i] ^= std::byte{0x5a};
  return base;
}

// A block's surroundings, owned, each of exactly its size.
struct Surroundings {
  std::vector<std::byte> base, peer, params, advice, base_params, base_payload;
  DType dtype, peer_dtype;
  BaseForm base_form;
  size_t parts, size;

  // `bytes`, `size` of them, as the codec's parts.
  Parts Cut(Bytes bytes) const {
    Parts cut;
    for (size_t k = 0; k < parts; ++k) {
      cut.push_back({dtype, bytes.subspan(k * (size / parts), size / parts)});
    }
    return cut;
  }
  MutableParts Cut(MutableBytes bytes) const { return CutLike(Cut(Bytes(bytes)), bytes); }
  uint64_t row_words() const { return std::max<size_t>(1, size / WordBytes(dtype) / 3); }

  BlockContext context() const {
    BlockContext context;
    if (base_form != BaseForm::kCoded) context.base = BytesOf(Cut(Bytes(base)));
    if (base_form == BaseForm::kCoded) {
      context.coded_base = {CodecId::kAdam, base_params, base_payload, size};
    }
    if (!peer.empty()) context.peer = {peer_dtype, peer};
    context.params = params;
    context.advice = advice;
    return context;
  }
};

Accepted AcceptedBy(const Head& head) {
  return {.update_error = head.flip / 400.0, .master_bits = 1 + head.flip_at % 16u};
}

// Codes the base as one that stands alone, with one byte flipped in some inputs. Where its codec
// refuses, what is there already remains.
void CodeBase(const Head& head, Surroundings& around) {
  const Codec& codec = GetCodec(CodecId::kAdam);
  const Parts base = around.Cut(Bytes(around.base));
  const auto prepared =
      codec.Prepare({.parts = base, .row_words = around.row_words(), .accepted = AcceptedBy(head)});
  if (!prepared) return;
  const BlockContext context{.params = prepared->params, .advice = prepared->advice};
  std::vector<std::byte> out(codec.EncodeBound(around.size));
  Scratch scratch;
  const auto coded = codec.Encode(context, base, SIZE_MAX, out, {}, scratch);
  if (!coded) return;
  around.base_params = prepared->params;
  around.base_payload.assign(out.begin(), out.begin() + coded->bytes);
  if (head.words % 2 == 0) return;
  around.base_payload[head.flip_at % coded->bytes] ^= static_cast<std::byte>(head.flip);
}

Surroundings MakeSurroundings(const Codec& codec, const Head& head, DType dtype, Bytes data,
                              size_t size) {
  Surroundings result{
      .dtype = dtype, .base_form = codec.base_form(), .parts = codec.parts(), .size = size};
  result.base = MakeBase(data, size, head.base_stride);
  result.peer_dtype = head.flip % 2 == 0 ? DType::kBF16 : DType::kF16;
  if (codec.needs_peer()) result.peer = MakeBase(data, size / 2, head.base_stride);
  if (result.base_form == BaseForm::kCoded) {
    const size_t params = std::min<size_t>(data.size(), head.flip % 64);
    result.base_params.assign(data.begin(), data.begin() + params);
    result.base_payload.assign(data.begin() + params, data.end());
    CodeBase(head, result);
  }
  return result;
}

void DecodeAsPayload(const Codec& codec, const Head& head, DType dtype, Bytes payload) {
  const size_t size = (1 + head.words % 2048) * codec.parts() * WordBytes(dtype);
  Surroundings around = MakeSurroundings(codec, head, dtype, payload, size);
  const size_t params = std::min<size_t>(payload.size(), head.flip % 64);
  around.params.assign(payload.begin(), payload.begin() + params);
  payload = payload.subspan(params);
  std::vector<std::byte> out(size);
  Scratch scratch;
  const BlockContext context = around.context();
  if (!codec.Decode(context, payload, around.Cut(MutableBytes(out)), scratch)) return;
  std::vector<std::byte> again(size, std::byte{0xee});
  Require(codec.Decode(context, payload, around.Cut(MutableBytes(again)), scratch).has_value());
  Require(out == again);
}

bool Prepare(const Codec& codec, const Head& head, Bytes raw, Surroundings& around) {
  const auto prepared = codec.Prepare({.parts = around.Cut(raw),
                                       .row_words = around.row_words(),
                                       .accepted = AcceptedBy(head),
                                       .base_params = around.base_params});
  if (prepared) around.params = prepared->params, around.advice = prepared->advice;
  return prepared.has_value();
}

void EncodeAndDecode(const Codec& codec, const Head& head, DType dtype, Bytes data) {
  const size_t unit = WordBytes(dtype) * codec.parts();
  const size_t size = std::min(data.size(), kBlockBytes) / unit * unit;
  if (size == 0) return;
  const Bytes raw = data.first(size);
  Surroundings around = MakeSurroundings(codec, head, dtype, raw, size);
  if (!Prepare(codec, head, raw, around)) return;
  const BlockContext context = around.context();
  // Kept: bounds may be megabytes, and new ones would take most of the time.
  static std::vector<std::byte> room;
  room.resize(std::max(room.size(), codec.EncodeBound(size)));
  Scratch scratch;
  std::vector<std::byte> told(size);
  const bool lossless = codec.IsLossless(context.params);
  const auto block = codec.Encode(context, around.Cut(raw), SIZE_MAX, room,
                                  around.Cut(MutableBytes(told)), scratch);
  if (!block) return;
  Require(block->bytes <= codec.EncodeBound(size));
  std::vector<std::byte> coded(room.begin(), room.begin() + block->bytes);

  std::vector<std::byte> out(size);
  Require(codec.Decode(context, coded, around.Cut(MutableBytes(out)), scratch).has_value());
  Require(std::memcmp(out.data(), lossless ? raw.data() : told.data(), size) == 0);

  if (coded.empty()) return;
  coded[head.flip_at % coded.size()] ^= static_cast<std::byte>(head.flip);
  (void)codec.Decode(context, coded, around.Cut(MutableBytes(out)), scratch);
}

}  // namespace
}  // namespace bitsnap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitsnap;
  Head head;
  if (size < sizeof(head)) return 0;
  std::memcpy(&head, data, sizeof(head));
  const Codec& codec = *AllCodecs()[head.codec % AllCodecs().size()];
  const DType dtype = *DTypeFromCode(static_cast<uint8_t>(head.dtype % kDTypeCount));
  if (!codec.Supports(dtype)) return 0;
  const Bytes rest = std::as_bytes(std::span(data, size)).subspan(sizeof(head));
  DecodeAsPayload(codec, head, dtype, rest);
  EncodeAndDecode(codec, head, dtype, rest);
  return 0;
}
