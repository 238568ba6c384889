#pragma once

#include "codec/codec.h"

namespace bitsnap {

// Adam's moments, alone or leaning on the base's decoded ones.
const Codec& AdamCodec();

// The same leaning on a base that `adam` coded.
const Codec& AdamDeltaCodec();

}  // namespace bitsnap
