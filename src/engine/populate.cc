#include "engine/populate.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/parallel.h"

namespace bitsnap {
namespace {

constexpr unsigned kMaxThreads = 4;
constexpr uint64_t kPieceBytes = uint64_t{32} << 20;

}  // namespace

void Populate(MutableBytes memory) {
  // What fails is touched by whoever writes there first.
  static_cast<void>(RunOrdered({
      .count = (memory.size() + kPieceBytes - 1) / kPieceBytes,
      .threads = std::min(kMaxThreads, ThreadCount(0)),
      .slots = kMaxThreads,
      .produce = [&](size_t item, size_t, unsigned) -> Result<void> {
        const MutableBytes rest = memory.subspan(item * kPieceBytes);
        madvise(rest.data(), std::min(kPieceBytes, rest.size()), MADV_POPULATE_WRITE);
        return {};
      },
      .consume = [](size_t, size_t) -> Result<void> { return {}; },
  }));
}

}  // namespace bitsnap
