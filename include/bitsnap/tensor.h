// What BitSnap stores: named tensors, each with a role in the training state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <bitsnap/dtype.h>

namespace bitsnap {

// The values are part of the file format: never renumber, only append.
enum class Role : uint8_t {
  kOther = 0,
  kWeight = 1,
  kMaster = 2,    // higher-precision copy of a weight, held by the optimizer
  kExpAvg = 3,    // Adam's first moment, m
  kExpAvgSq = 4,  // Adam's second moment, v
};

inline constexpr size_t kRoleCount = 5;

// "other", "weight", "master", "exp_avg", "exp_avg_sq".
std::string_view RoleName(Role role);
std::optional<Role> ParseRole(std::string_view name);
std::optional<Role> RoleFromCode(uint8_t code);

struct TensorInfo {
  std::string name;  // unique in its snapshot; any UTF-8, never used as a path
  DType dtype = DType::kU8;
  std::vector<uint64_t> shape;
  // Absent: inferred from name and dtype when the tensor is saved. Always present after reading.
  std::optional<Role> role;
  // The parameter that this tensor belongs to; tensors of one parameter share it. Inferred with
  // the role.
  std::string group;
};

// A tensor in the caller's memory: `bytes` is its contiguous little-endian content and must stay
// valid and unchanged during the call that it is passed to.
struct TensorView {
  TensorInfo info;
  std::span<const std::byte> bytes;
};

// A measured property of what was lost, e.g. {"mse", 1e-9}. Lossless tensors have none.
struct Metric {
  std::string name;
  double value = 0;
};

}  // namespace bitsnap
