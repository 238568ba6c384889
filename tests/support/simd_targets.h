#pragma once

#include <hwy/targets.h>

#include <cstdint>

namespace bitsnap::test {

// Calls `body(target name)` once for every SIMD target that this machine and the build have, with
// Highway dispatching to it. One thread at a time.
template <class Body>
void ForEachSimdTarget(Body body) {
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace bitsnap::test
