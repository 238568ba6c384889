#include <bitsnap/dtype.h>

#include <gtest/gtest.h>

#include <bitsnap/tensor.h>

namespace bitsnap {
namespace {

TEST(DType, NamesAndCodesRoundTrip) {
  for (size_t code = 0; code < kDTypeCount; ++code) {
    const auto dtype = DTypeFromCode(static_cast<uint8_t>(code));
    ASSERT_TRUE(dtype);
    EXPECT_EQ(ParseDType(DTypeName(*dtype)), *dtype);
  }
  EXPECT_EQ(DTypeFromCode(kDTypeCount), std::nullopt);
  EXPECT_EQ(ParseDType("bf16"), std::nullopt);
}

TEST(Role, NamesAndCodesRoundTrip) {
  for (size_t code = 0; code < kRoleCount; ++code) {
    const auto role = RoleFromCode(static_cast<uint8_t>(code));
    ASSERT_TRUE(role);
    EXPECT_EQ(ParseRole(RoleName(*role)), *role);
  }
  EXPECT_EQ(RoleFromCode(kRoleCount), std::nullopt);
}

std::optional<uint64_t> BytesOf(DType dtype, std::vector<uint64_t> shape) {
  return TensorBytes(dtype, shape);
}

TEST(TensorBytes, CountsScalarsEmptyTensorsAndSubByteElements) {
  EXPECT_EQ(BytesOf(DType::kF32, {}), 4u);
  EXPECT_EQ(BytesOf(DType::kC128, {3}), 48u);
  EXPECT_EQ(BytesOf(DType::kF4, {3, 2}), 3u);
  EXPECT_EQ(BytesOf(DType::kF4, {3}), std::nullopt);
  EXPECT_EQ(BytesOf(DType::kF6E2M3, {4}), 3u);
  EXPECT_EQ(BytesOf(DType::kF32, {uint64_t{1} << 63, 0, uint64_t{1} << 63}), 0u);
}

TEST(TensorBytes, RefusesAnOverflowingProduct) {
  EXPECT_EQ(BytesOf(DType::kU8, {uint64_t{1} << 32, uint64_t{1} << 32}), std::nullopt);
  EXPECT_EQ(BytesOf(DType::kF64, {uint64_t{1} << 61}), std::nullopt);
}

}  // namespace
}  // namespace bitsnap
