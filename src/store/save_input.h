// What may be saved.
#pragma once

#include <span>

#include <bitsnap/store.h>

namespace bitsnap {

// kInvalidArgument for a rank outside the world, a name that is empty or there twice, or bytes that
// are not as many as dtype and shape say.
Result<void> CheckSaveInput(std::span<const TensorView> tensors, const SaveOptions& options);

}  // namespace bitsnap
