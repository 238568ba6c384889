#include <array>

#include "codec/adam/codec.h"
#include "codec/bitmask/codec.h"
#include "codec/cluster/codec.h"
#include "codec/codec.h"
#include "codec/delta/codec.h"
#include "codec/planes/codec.h"
#include "codec/raw/codec.h"
#include "codec/residual/codec.h"

namespace bitsnap {

std::span<const Codec* const> AllCodecs() {
  // One line a codec, in order of their ids.
  static const std::array codecs = {
      &RawCodec(),   &PlanesCodec(), &BitmaskCodec(),  &ClusterCodec(),
      &DeltaCodec(), &AdamCodec(),   &ResidualCodec(), &AdamDeltaCodec(),
  };
  return codecs;
}

const Codec* FindCodec(uint8_t id) {
  for (const Codec* codec : AllCodecs()) {
    if (static_cast<uint8_t>(codec->id()) == id) return codec;
  }
  return nullptr;
}

const Codec& GetCodec(CodecId id) { return *FindCodec(static_cast<uint8_t>(id)); }

const Codec& FallbackCodec() { return RawCodec(); }

}  // namespace bitsnap
