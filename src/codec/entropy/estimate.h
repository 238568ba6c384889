// How small order-0 coding would make a plane, from a sample of it.
#pragma once

#include "base/bytes.h"

namespace bitsnap::rans {

// Roughly the bytes that rANS needs for `plane`, its tables included. Integer arithmetic, since an
// encoder that went by floating point could choose differently on another machine.
size_t EstimateCodedBytes(Bytes plane);

}  // namespace bitsnap::rans
