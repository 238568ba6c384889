#pragma once

#include <cstddef>

namespace bitsnap::test {

// Bytes that this thread has asked operator new for so far. Linking allocations.cc replaces the
// program's operator new with one that counts.
size_t AllocatedBytes();

}  // namespace bitsnap::test
