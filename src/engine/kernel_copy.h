// Copying what nobody reads again soon.
#pragma once

#include <cstddef>

namespace bitsnap {

// memcpy past the caches: without first reading the lines that it writes, and without driving the
// training's own data out.
// Requires: `to` is a multiple of 64; the two do not overlap.
void StreamCopy(std::byte* to, const std::byte* from, size_t bytes);

}  // namespace bitsnap
