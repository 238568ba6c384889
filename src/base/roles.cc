#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include <bitsnap/roles.h>

namespace bitsnap {
namespace {

using Parts = std::vector<std::string_view>;

template <size_t N>
bool IsOneOf(std::string_view word, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array<std::string_view, 8> kOptimizerPrefixes = {
    "optimizer", "optim",           "optimizers", "opt",
    "opt_state", "optimizer_state", "state",      "base_optimizer_state"};
constexpr std::array<std::string_view, 2> kModelPrefixes = {"model", "module"};
constexpr std::array<std::string_view, 8> kMasterKeys = {"master",
                                                         "master_param",
                                                         "master_params",
                                                         "master_weight",
                                                         "master_weights",
                                                         "fp32_param",
                                                         "single_partition_of_fp32_groups",
                                                         "fp32_flat_groups"};

bool IsFloat(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kU8:
    case DType::kI8:
    case DType::kU16:
    case DType::kI16:
    case DType::kU32:
    case DType::kI32:
    case DType::kU64:
    case DType::kI64:
      return false;
    default:
      return true;
  }
}

Parts Split(std::string_view name) {
  Parts parts;
  size_t begin = 0;
  for (size_t dot; (dot = name.find('.', begin)) != std::string_view::npos; begin = dot + 1) {
    parts.push_back(name.substr(begin, dot - begin));
  }
  parts.push_back(name.substr(begin));
  return parts;
}

void StripPrefix(Parts& parts, const auto& prefixes) {
  const auto end = std::find_if(parts.begin(), parts.end(),
                                [&](std::string_view part) { return !IsOneOf(part, prefixes); });
  parts.erase(parts.begin(), end);
}

// The role that a component of an optimizer tensor's name stands for. `key_position`: it is the
// first or last component after the prefix, the only places where the words "param" and "master"
// are a key and not part of a module's name.
std::optional<Role> RoleOfKey(std::string_view part, bool key_position) {
  if (part == "exp_avg") return Role::kExpAvg;
  if (part == "exp_avg_sq") return Role::kExpAvgSq;
  if (IsOneOf(part, kMasterKeys) || (key_position && part == "param")) return Role::kMaster;
  return std::nullopt;
}

// Takes the key out of `parts`, so that the parameter's name remains.
std::optional<Role> TakeKey(Parts& parts) {
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool key_position = i == 0 || i + 1 == parts.size();
    if (const auto role = RoleOfKey(parts[i], key_position)) {
      parts.erase(parts.begin() + i);
      return role;
    }
  }
  return std::nullopt;
}

void InferRole(TensorInfo& info) {
  Parts parts = Split(info.name);
  const bool in_model = IsOneOf(parts.front(), kModelPrefixes);
  const bool in_optimizer = IsOneOf(parts.front(), kOptimizerPrefixes);
  if (in_optimizer) StripPrefix(parts, kOptimizerPrefixes);
  const std::optional<Role> key = in_model ? std::nullopt : TakeKey(parts);
  StripPrefix(parts, kModelPrefixes);
  info.group = fmt::format("{}", fmt::join(parts, "."));
  if (!IsFloat(info.dtype)) {
    info.role = Role::kOther;
  } else if (key) {
    info.role = key;
  } else {
    info.role = in_optimizer ? Role::kOther : Role::kWeight;
  }
}

}  // namespace

void InferRoles(std::span<TensorInfo> tensors) {
  for (TensorInfo& info : tensors) {
    if (!info.role) InferRole(info);
  }
}

bool IsOptimizerState(const TensorInfo& info) {
  switch (*info.role) {
    case Role::kMaster:
    case Role::kExpAvg:
    case Role::kExpAvgSq:
      return true;
    case Role::kWeight:
      return false;
    case Role::kOther:
      return IsOneOf(Split(info.name).front(), kOptimizerPrefixes);
  }
  return false;
}

}  // namespace bitsnap
