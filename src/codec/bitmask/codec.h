#pragma once

#include "codec/codec.h"

namespace bitsnap {

const Codec& BitmaskCodec();

}  // namespace bitsnap
