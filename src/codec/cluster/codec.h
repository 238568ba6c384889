#pragma once

#include "codec/codec.h"

namespace bitsnap {

const Codec& ClusterCodec();

}  // namespace bitsnap
