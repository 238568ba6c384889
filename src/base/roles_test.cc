#include <gtest/gtest.h>

#include <bitsnap/roles.h>

namespace bitsnap {
namespace {

struct Case {
  const char* name;
  DType dtype;
  Role role;
  const char* group;
};

class InferRolesTest : public testing::TestWithParam<Case> {};

TEST_P(InferRolesTest, FollowsTheConvention) {
  const Case& c = GetParam();
  TensorInfo info{.name = c.name, .dtype = c.dtype};
  InferRoles({&info, 1});
  ASSERT_TRUE(info.role);
  EXPECT_EQ(RoleName(*info.role), RoleName(c.role));
  EXPECT_EQ(info.group, c.group);
}

constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;

INSTANTIATE_TEST_SUITE_P(
    Conventions, InferRolesTest,
    testing::Values(
        // PyTorch, torchtitan, and our own Checkpointer
        Case{"model.layers.0.w", kBF16, Role::kWeight, "layers.0.w"},
        Case{"optimizer.state.layers.0.w.exp_avg", kF32, Role::kExpAvg, "layers.0.w"},
        Case{"optimizer.state.layers.0.w.exp_avg_sq", kF32, Role::kExpAvgSq, "layers.0.w"},
        Case{"optimizer.state.layers.0.w.master", kF32, Role::kMaster, "layers.0.w"},
        Case{"optim.state.layers.0.w.exp_avg", kBF16, Role::kExpAvg, "layers.0.w"},
        Case{"state.0.exp_avg", kF32, Role::kExpAvg, "0"},
        // Hugging Face names begin with "model." themselves
        Case{"model.model.embed.weight", kBF16, Role::kWeight, "embed.weight"},
        Case{"optimizer.state.model.embed.weight.exp_avg", kF32, Role::kExpAvg, "embed.weight"},
        Case{"lm_head.weight", kBF16, Role::kWeight, "lm_head.weight"},
        // Megatron-core
        Case{"optimizer.state.exp_avg.decoder.w", kF32, Role::kExpAvg, "decoder.w"},
        Case{"optimizer.state.param.decoder.w", kF32, Role::kMaster, "decoder.w"},
        Case{"optimizer.distributed.dp_group_idx_0.gbuf_idx_0.dtype_(torch.bfloat16, torch.float32)"
             ".bucket_idx_0.exp_avg_sq",
             kF32, Role::kExpAvgSq,
             "distributed.dp_group_idx_0.gbuf_idx_0.dtype_(torch.bfloat16, torch.float32)"
             ".bucket_idx_0"},
        Case{"optimizer.distributed.bucket_idx_0.param", kF32, Role::kMaster,
             "distributed.bucket_idx_0"},
        // DeepSpeed
        Case{"optimizer.fp32_flat_groups.0", kF32, Role::kMaster, "0"},
        Case{"base_optimizer_state.state.0.exp_avg", kF32, Role::kExpAvg, "0"},
        // Neither a float nor an optimizer's moment
        Case{"optimizer.state.layers.0.w.step", kF32, Role::kOther, "layers.0.w.step"},
        Case{"optimizer.state.layers.0.w.momentum_buffer", kF32, Role::kOther,
             "layers.0.w.momentum_buffer"},
        Case{"optimizer.state.layers.0.w.exp_avg", DType::kU8, Role::kOther, "layers.0.w"},
        Case{"optimizer.state.layers.0.w.master", DType::kI16, Role::kOther, "layers.0.w"},
        Case{"rng_state", DType::kU8, Role::kOther, "rng_state"},
        // Words of optimizers inside a model's own names
        Case{"model.state.exp_avg.w", kBF16, Role::kWeight, "state.exp_avg.w"},
        Case{"optimizer.state.net.param.w.exp_avg", kF32, Role::kExpAvg, "net.param.w"},
        Case{"", kF32, Role::kWeight, ""}));

TEST(InferRoles, KeepsWhatTheCallerSaid) {
  TensorInfo info{.name = "optimizer.state.w.exp_avg", .dtype = kF32, .role = Role::kOther};
  info.group = "mine";
  InferRoles({&info, 1});
  EXPECT_EQ(info.role, Role::kOther);
  EXPECT_EQ(info.group, "mine");
}

}  // namespace
}  // namespace bitsnap
