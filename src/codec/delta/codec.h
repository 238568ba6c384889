#pragma once

#include "codec/codec.h"

namespace bitsnap {

const Codec& DeltaCodec();

}  // namespace bitsnap
