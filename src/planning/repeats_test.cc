#include "planning/repeats.h"

#include <gtest/gtest.h>

namespace bitsnap {
namespace {

TensorInfo Info(std::string name, DType dtype, uint64_t count) {
  return {.name = std::move(name), .dtype = dtype, .shape = {count}, .role = Role::kOther};
}

std::vector<std::byte> Filled(size_t bytes, int value) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(value));
}

TEST(FindRepeats, FindsEqualTensorsOfTheSameKindOnly) {
  const auto a = Filled(100'000, 1);
  auto almost = a;
  almost[50'001] = std::byte{2};  // between the sampled pieces
  const auto copy = a;
  std::vector<TensorView> tensors = {
      {Info("a", DType::kU8, a.size()), a},        {Info("b", DType::kU8, a.size()), almost},
      {Info("c", DType::kU8, a.size()), copy},     {Info("d", DType::kI8, a.size()), copy},
      {Info("empty", DType::kU8, 0), {}},          {Info("empty 2", DType::kU8, 0), {}},
      {Info("weight", DType::kU8, a.size()), copy}};
  tensors[6].info.role = Role::kWeight;
  const auto repeats = FindRepeats(tensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(repeats[i], i == 2 ? std::optional<uint32_t>(0) : std::nullopt) << i;
  }
}

}  // namespace
}  // namespace bitsnap
