// Parallel work whose results are used in order, in bounded memory.
#pragma once

#include <cstddef>
#include <functional>

#include <bitsnap/result.h>

namespace bitsnap {

// Threads to use when the caller asks for `requested`: 0 means one for each core this process may
// use.
unsigned ThreadCount(unsigned requested);

// An ordered pipeline of `count` items over a ring of slots.
struct OrderedWork {
  size_t count = 0;
  unsigned threads = 1;  // the calling thread is one of them
  size_t slots = 1;      // at least `threads`, or some of them idle
  // Computes item `item` into slot `slot`, which no other call uses until the item is consumed.
  // Several calls run at once, each with another `worker` in [0, threads).
  std::function<Result<void>(size_t item, size_t slot, unsigned worker)> produce;
  // Called for items 0, 1, 2, … in this order, one call at a time, on any of the threads.
  std::function<Result<void>(size_t item, size_t slot)> consume;
};

// Returns when every item is consumed, or the first error once all threads have stopped. Exceptions
// for want of memory become kOutOfMemory.
Result<void> RunOrdered(const OrderedWork& work);

}  // namespace bitsnap
