#pragma once

#include "codec/codec.h"

namespace bitsnap {

const Codec& AdamCodec();

}  // namespace bitsnap
