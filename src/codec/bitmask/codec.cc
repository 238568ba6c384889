#include "codec/bitmask/codec.h"

#include <cstring>

#include "codec/bitmask/kernel.h"

namespace bitsnap {
namespace {

using bitmask::MaskBytes;

class Bitmask final : public Codec {
 public:
  CodecId id() const override { return CodecId::kBitmask; }
  std::string_view name() const override { return "bitmask"; }
  bool needs_base() const override { return true; }
  bool is_quick() const override { return true; }
  bool Supports(DType) const override { return true; }

  // One-byte words, all changed, are the worst case.
  size_t EncodeBound(size_t raw_bytes) const override {
    return MaskBytes(raw_bytes) + raw_bytes + bitmask::kPackSlack;
  }

  std::optional<Encoded> Encode(const BlockContext& context, const Parts& parts, size_t limit,
                                MutableBytes out, const MutableParts&, Scratch&) const override {
    if (limit == 0) return std::nullopt;
    const auto [dtype, raw] = parts[0];
    const size_t word = WordBytes(dtype);
    const size_t mask_bytes = MaskBytes(raw.size() / word);
    const size_t max_changed = limit > mask_bytes ? (limit - 1 - mask_bytes) / word : 0;
    const size_t changed = bitmask::PackChanged(word, context.base[0], raw, max_changed, out);
    if (changed > max_changed) return std::nullopt;
    return Encoded{changed == 0 ? 0 : mask_bytes + changed * word};
  }

  Result<void> Decode(const BlockContext& context, Bytes coded, const MutableParts& parts,
                      Scratch&) const override {
    const auto [dtype, out] = parts[0];
    const Bytes base = context.base[0];
    if (coded.empty()) {
      std::memcpy(out.data(), base.data(), out.size());
      return {};
    }
    const size_t word = WordBytes(dtype);
    const size_t words = out.size() / word;
    if (coded.size() < MaskBytes(words)) {
      return Fail(ErrorKind::kCorrupt, "bitmask block is shorter than its mask");
    }
    const Bytes mask = coded.first(MaskBytes(words));
    const Bytes values = coded.subspan(mask.size());
    if (words % 8 != 0 && std::to_integer<unsigned>(mask.back()) >> (words % 8) != 0) {
      return Fail(ErrorKind::kCorrupt, "bitmask block marks words past its end");
    }
    const size_t changed = bitmask::CountBits(mask);
    if (changed == 0 || values.size() != changed * word) {
      return Fail(ErrorKind::kCorrupt, "bitmask block has the wrong number of changed values");
    }
    bitmask::UnpackChanged(word, base, mask, values, out);
    return {};
  }
};

}  // namespace

const Codec& BitmaskCodec() {
  static const Bitmask codec;
  return codec;
}

}  // namespace bitsnap
