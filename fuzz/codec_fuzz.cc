// Every codec against hostile bytes. The input's head chooses codec, dtype, block size, base and
// one flipped byte; the rest is decoded as a payload, and coded as data, decoded, compared, and
// decoded again with the flipped byte.
#include <algorithm>
#include <cstdlib>
#include <cstring>
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

void DecodeAsPayload(const Codec& codec, const Head& head, DType dtype, Bytes payload) {
  const size_t size = (1 + head.words % 2048) * WordBytes(dtype);
  const auto base = MakeBase(payload, size, head.base_stride);
  std::vector<std::byte> out(size);
  Scratch scratch;
  if (!codec.Decode({dtype, size, base}, payload, out, scratch)) return;
  std::vector<std::byte> again(size, std::byte{0xee});
  Require(codec.Decode({dtype, size, base}, payload, again, scratch).has_value());
  Require(out == again);
}

void EncodeAndDecode(const Codec& codec, const Head& head, DType dtype, Bytes data) {
  const size_t size = std::min(data.size(), kBlockBytes) / WordBytes(dtype) * WordBytes(dtype);
  if (size == 0) return;
  const Bytes raw = data.first(size);
  const auto base = MakeBase(raw, size, head.base_stride);
  const BlockContext context{dtype, size, base};
  // Kept: bounds may be megabytes, and new ones would take most of the time.
  static std::vector<std::byte> room;
  room.resize(std::max(room.size(), codec.EncodeBound(size)));
  Scratch scratch;
  const auto coded_size = codec.Encode(context, raw, SIZE_MAX, room, scratch);
  if (!coded_size) return;
  Require(*coded_size <= codec.EncodeBound(size));
  std::vector<std::byte> coded(room.begin(), room.begin() + *coded_size);

  std::vector<std::byte> out(size);
  Require(codec.Decode(context, coded, out, scratch).has_value());
  if (codec.lossless()) Require(std::memcmp(out.data(), raw.data(), size) == 0);

  if (coded.empty()) return;
  coded[head.flip_at % coded.size()] ^= static_cast<std::byte>(head.flip);
  (void)codec.Decode(context, coded, out, scratch);
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
