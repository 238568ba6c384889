#include <array>

#include "codec/bitmask/codec.h"
#include "codec/cluster/codec.h"
#include "codec/codec.h"
#include "codec/planes/codec.h"
#include "codec/raw/codec.h"

namespace bitsnap {

std::span<const Codec* const> AllCodecs() {
  // In order of their ids: the index is the id.
  static const std::array<const Codec*, 4> codecs = {&RawCodec(), &PlanesCodec(), &BitmaskCodec(),
                                                     &ClusterCodec()};
  return codecs;
}

const Codec* FindCodec(uint8_t id) { return id < AllCodecs().size() ? AllCodecs()[id] : nullptr; }

const Codec& GetCodec(CodecId id) { return *AllCodecs()[static_cast<size_t>(id)]; }

}  // namespace bitsnap
