#pragma once

#include "codec/codec.h"

namespace bitsnap {

const Codec& ResidualCodec();

}  // namespace bitsnap
