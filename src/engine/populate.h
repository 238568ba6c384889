#pragma once

#include "base/bytes.h"

namespace bitsnap {

// Brings whole pages, to be written, into memory at once, for half of what it costs to do so page
// by page while copying. Does nothing where the kernel cannot (before Linux 5.14).
void Populate(MutableBytes memory);

}  // namespace bitsnap
