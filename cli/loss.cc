#include "cli/loss.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace bitsnap::cli {

namespace {

using Bytes = std::span<const std::byte>;

constexpr double kEps = 1e-8;  // AdamW's default in PyTorch
constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool SameBytes(Bytes a, Bytes b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// Mapped files need not be aligned.
double FloatAt(Bytes bytes, size_t i) {
  float value;
  std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
  return value;
}

// Grows element by element to ||x - x'|| / ||x||. What is not finite must come back as it was.
class RelativeError {
 public:
  void Add(double x, double restored) {
    if (!std::isfinite(x)) {
      broken_ |= std::isnan(x) ? !std::isnan(restored) : x != restored;
      return;
    }
    norm_ += x * x;
    difference_ += (x - restored) * (x - restored);
  }

  double Value() const {
    if (broken_) return kInfinity;
    if (difference_ == 0) return 0;
    const double error = std::sqrt(difference_ / norm_);
    return std::isnan(error) ? kInfinity : error;
  }

 private:
  double norm_ = 0;
  double difference_ = 0;
  bool broken_ = false;
};

double RelativeLoss(const TensorView& tensor, Bytes restored) {
  if (SameBytes(tensor.bytes, restored)) return 0;
  if (tensor.info.dtype != DType::kF32) return kInfinity;
  RelativeError error;
  for (size_t i = 0; i < restored.size() / sizeof(float); ++i) {
    error.Add(FloatAt(tensor.bytes, i), FloatAt(restored, i));
  }
  // A NaN's payload or the sign of a zero is a loss too.
  return std::max(error.Value(), std::numeric_limits<double>::min());
}

// exp_avg and exp_avg_sq of one parameter.
struct Moments {
  Bytes m, v;
};

double UpdateLoss(const Moments& saved, const Moments& restored) {
  if (SameBytes(saved.m, restored.m) && SameBytes(saved.v, restored.v)) return 0;
  const auto update = [](const Moments& moments, size_t i) {
    return FloatAt(moments.m, i) / (std::sqrt(FloatAt(moments.v, i)) + kEps);
  };
  RelativeError error;
  for (size_t i = 0; i < saved.m.size() / sizeof(float); ++i) {
    error.Add(update(saved, i), update(restored, i));
  }
  return error.Value();
}

struct SavedAndRestored {
  Moments saved, restored;
};

std::map<std::string_view, SavedAndRestored> MomentsByGroup(std::span<const TensorView> tensors,
                                                            std::span<const Bytes> restored) {
  std::map<std::string_view, SavedAndRestored> groups;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& info = tensors[i].info;
    if (info.dtype != DType::kF32) continue;
    if (info.role == Role::kExpAvg) {
      groups[info.group].saved.m = tensors[i].bytes;
      groups[info.group].restored.m = restored[i];
    } else if (info.role == Role::kExpAvgSq) {
      groups[info.group].saved.v = tensors[i].bytes;
      groups[info.group].restored.v = restored[i];
    }
  }
  std::erase_if(groups, [](const auto& entry) {
    const Moments& saved = entry.second.saved;
    return saved.m.empty() || saved.m.size() != saved.v.size();
  });
  return groups;
}

}  // namespace

std::map<Role, Loss> MeasureLoss(std::span<const TensorView> tensors,
                                 std::span<const Bytes> restored) {
  std::map<Role, Loss> losses;
  for (size_t i = 0; i < tensors.size(); ++i) {
    double& relative = losses[*tensors[i].info.role].relative;
    relative = std::max(relative, RelativeLoss(tensors[i], restored[i]));
  }
  const auto groups = MomentsByGroup(tensors, restored);
  if (groups.empty()) return losses;
  double worst = 0;
  for (const auto& [name, moments] : groups) {
    worst = std::max(worst, UpdateLoss(moments.saved, moments.restored));
  }
  losses[Role::kExpAvg].update = losses[Role::kExpAvgSq].update = worst;
  return losses;
}

}  // namespace bitsnap::cli
