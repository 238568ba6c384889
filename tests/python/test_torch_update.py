"""A lossy profile's bound is about the update as torch computes it, bias correction included."""

import pytest
import torch

from bitsnap.torch import Checkpointer


def update(state, group):
    beta1, beta2 = group["betas"]
    step = float(state["step"])
    m = state["exp_avg"].double() / (1 - beta1**step)
    v = state["exp_avg_sq"].double() / (1 - beta2**step)
    return m / (v.sqrt() + group["eps"])


@pytest.mark.parametrize("profile, bound", [("balanced", 0.012), ("tiny", 0.35)])
@pytest.mark.parametrize("scale, steps", [(1e-3, 60), (1e-8, 20), (1e-9, 5), (3e-9, 1)])
def test_gradients_near_eps_keep_the_bound_from_the_first_step_on(
    tmp_path, profile, bound, scale, steps
):
    random = torch.Generator().manual_seed(3)
    parameter = torch.nn.Parameter(torch.randn(1024, 64, generator=random))
    optimizer = torch.optim.AdamW([parameter])
    scales = scale * torch.exp(torch.randn(parameter.shape, generator=random))
    for _ in range(steps):
        parameter.grad = scales * torch.randn(parameter.shape, generator=random)
        optimizer.step()
    with Checkpointer(tmp_path, profile=profile, engine="sync", threads=1) as ckpt:
        ckpt.save(1, model={"p": parameter}, optimizer=optimizer)
        other = torch.nn.Parameter(torch.zeros_like(parameter))
        restored = torch.optim.AdamW([other])
        ckpt.restore({"p": other}, restored)
    group = optimizer.param_groups[0]
    exact, lossy = update(optimizer.state[parameter], group), update(restored.state[other], group)
    assert 0 < (exact - lossy).norm() <= bound * 1.001 * exact.norm()
