#pragma once

#include "codec/codec.h"

namespace bitsnap {

const Codec& RawCodec();

}  // namespace bitsnap
