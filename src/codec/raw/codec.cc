#include "codec/raw/codec.h"

#include <algorithm>

namespace bitsnap {
namespace {

class Raw final : public Codec {
 public:
  CodecId id() const override { return CodecId::kRaw; }
  std::string_view name() const override { return "raw"; }
  bool Supports(DType) const override { return true; }
  size_t EncodeBound(size_t raw_bytes) const override { return raw_bytes; }

  std::optional<Encoded> Encode(const BlockContext&, const Parts& parts, size_t limit,
                                MutableBytes out, const MutableParts&, Scratch&) const override {
    const size_t raw_bytes = RawBytes(parts);
    if (raw_bytes >= limit) return std::nullopt;
    for (const Part& part : parts) {
      std::ranges::copy(part.bytes, out.begin());
      out = out.subspan(part.bytes.size());
    }
    return Encoded{raw_bytes};
  }

  Result<void> Decode(const BlockContext&, Bytes coded, const MutableParts& parts,
                      Scratch&) const override {
    if (coded.size() != RawBytes(parts)) {
      return Fail(ErrorKind::kCorrupt, "raw block has the wrong length");
    }
    for (const MutablePart& part : parts) {
      std::ranges::copy(coded.first(part.bytes.size()), part.bytes.begin());
      coded = coded.subspan(part.bytes.size());
    }
    return {};
  }
};

}  // namespace

const Codec& RawCodec() {
  static const Raw codec;
  return codec;
}

}  // namespace bitsnap
