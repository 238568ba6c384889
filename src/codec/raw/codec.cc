#include "codec/raw/codec.h"

#include <cstring>

namespace bitsnap {
namespace {

class Raw final : public Codec {
 public:
  CodecId id() const override { return CodecId::kRaw; }
  std::string_view name() const override { return "raw"; }
  bool Supports(DType) const override { return true; }
  size_t EncodeBound(size_t raw_bytes) const override { return raw_bytes; }

  std::optional<size_t> Encode(const BlockContext&, Bytes raw, size_t limit, MutableBytes out,
                               Scratch&) const override {
    if (raw.size() >= limit) return std::nullopt;
    std::memcpy(out.data(), raw.data(), raw.size());
    return raw.size();
  }

  Result<void> Decode(const BlockContext&, Bytes coded, MutableBytes out, Scratch&) const override {
    if (coded.size() != out.size()) {
      return Fail(ErrorKind::kCorrupt, "raw block has the wrong length");
    }
    std::memcpy(out.data(), coded.data(), coded.size());
    return {};
  }
};

}  // namespace

const Codec& RawCodec() {
  static const Raw codec;
  return codec;
}

}  // namespace bitsnap
