#pragma once

#include "codec/codec.h"

namespace bitsnap {

const Codec& PlanesCodec();

}  // namespace bitsnap
