// What saving and restoring a checkpoint lost.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include <bitsnap/bitsnap.h>

namespace bitsnap::cli {

// Of all tensors of a role. 0 means: every bit came back. Norms are over one tensor, and the worst
// tensor counts.
struct Loss {
  double relative = 0;           // ||x - x'|| / ||x||; infinite where other floats or NaN changed
  std::optional<double> update;  // ||u - u'|| / ||u|| of Adam's u = m / (sqrt(v) + eps)
};

// `restored` are the bytes of `tensors`, in their order. The tensors' roles must be present. Both
// roles of Adam's states share the error of their update.
std::map<Role, Loss> MeasureLoss(std::span<const TensorView> tensors,
                                 std::span<const std::span<const std::byte>> restored);

}  // namespace bitsnap::cli
