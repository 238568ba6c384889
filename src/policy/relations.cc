#include "policy/relations.h"

#include <map>
#include <string_view>
#include <utility>

namespace bitsnap {
namespace {

constexpr uint32_t kSeveral = UINT32_MAX;

// The number of the one tensor of a group and role, kSeveral if there are more.
using Members = std::map<std::pair<std::string_view, Role>, uint32_t>;

Members FindMembers(std::span<const TensorInfo* const> tensors) {
  Members members;
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i]->group.empty()) continue;
    const auto [entry, is_new] = members.try_emplace({tensors[i]->group, *tensors[i]->role}, i);
    if (!is_new) entry->second = kSeveral;
  }
  return members;
}

class Finder {
 public:
  explicit Finder(std::span<const TensorInfo* const> tensors)
      : tensors_(tensors), members_(FindMembers(tensors)) {}

  Relations Of(uint32_t number) const {
    const TensorInfo& info = *tensors_[number];
    Relations relations;
    if (info.dtype != DType::kF32 || !IsOnly(number)) return relations;
    if (info.role == Role::kMaster) relations.weight = WeightOf(info);
    if (info.role == Role::kExpAvgSq) relations.exp_avg = ExpAvgOf(info);
    return relations;
  }

 private:
  std::optional<uint32_t> Find(const TensorInfo& info, Role role) const {
    const auto found = members_.find({info.group, role});
    if (found == members_.end() || found->second == kSeveral) return std::nullopt;
    return found->second;
  }

  bool IsOnly(uint32_t number) const {
    return Find(*tensors_[number], *tensors_[number]->role) == number;
  }

  std::optional<uint32_t> WeightOf(const TensorInfo& master) const {
    const auto weight = Find(master, Role::kWeight);
    if (!weight) return std::nullopt;
    const TensorInfo& info = *tensors_[*weight];
    const bool is_16_bit = info.dtype == DType::kBF16 || info.dtype == DType::kF16;
    return is_16_bit && info.shape == master.shape ? weight : std::nullopt;
  }

  std::optional<uint32_t> ExpAvgOf(const TensorInfo& exp_avg_sq) const {
    const auto exp_avg = Find(exp_avg_sq, Role::kExpAvg);
    if (!exp_avg) return std::nullopt;
    const TensorInfo& info = *tensors_[*exp_avg];
    return info.dtype == DType::kF32 && info.shape == exp_avg_sq.shape ? exp_avg : std::nullopt;
  }

  const std::span<const TensorInfo* const> tensors_;
  const Members members_;
};

}  // namespace

std::vector<Relations> FindRelations(std::span<const TensorInfo* const> tensors) {
  const Finder finder(tensors);
  std::vector<Relations> relations;
  for (uint32_t i = 0; i < tensors.size(); ++i) relations.push_back(finder.Of(i));
  return relations;
}

}  // namespace bitsnap
