// Roles from names.
#pragma once

#include <span>

#include <bitsnap/tensor.h>

namespace bitsnap {

// Fills in role and group of every tensor whose role is absent, from the naming conventions of
// PyTorch, torchtitan, Megatron-core and safetensors exports (docs/store.md lists them). A name
// that fits none gets Role::kOther, or kWeight where its dtype is a float and nothing in the
// snapshot says that it is optimizer state.
void InferRoles(std::span<TensorInfo> tensors);

// Whether training goes on from this tensor but the model's weights alone do without: a master
// weight, a moment, or anything else but a weight under an optimizer's name. Requires: role
// present.
bool IsOptimizerState(const TensorInfo& info);

}  // namespace bitsnap
