"""Master weights, which the optimizer holds and the model does not."""

import pytest
import torch
from torch_training import bits_of, make_model, model_bits, optimizer_bits

from bitsnap.torch import Checkpointer


class MixedPrecision:
    """bf16 weights, and fp32 master weights that only the optimizer holds."""

    def __init__(self, seed, split=False):
        self.model = make_model(seed).to(torch.bfloat16)
        # BatchNorm's statistics stay as they are: only parameters have masters.
        self.masters = [p.detach().float().clone() for p in self.model.parameters()]
        decay = [m for m in self.masters if m.ndim > 1]
        plain = [m for m in self.masters if m.ndim == 1]
        groups = [{"params": decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups if split else self.masters, lr=1e-3)

    def train(self, steps):
        for _ in range(steps):
            self.model.zero_grad()
            self.model(torch.randn(16, 12).bfloat16()).square().mean().backward()
            for master, parameter in zip(self.masters, self.model.parameters()):
                master.grad = parameter.grad.float()
            self.optimizer.step()
            with torch.no_grad():
                for master, parameter in zip(self.masters, self.model.parameters()):
                    parameter.copy_(master)

    def bits(self):
        masters = [bits_of(m) for m in self.masters]
        return masters, model_bits(self.model), optimizer_bits(self.optimizer)


@pytest.mark.parametrize("split", [False, True])
def test_masters_are_saved_by_name_and_role(tmp_path, split):
    run = MixedPrecision(1, split)
    run.train(5)
    ckpt = Checkpointer(tmp_path)
    report = ckpt.save(
        5, model=run.model, optimizer=run.optimizer, extra=torch.get_rng_state()
    ).result()
    assert {"weight", "master", "exp_avg", "exp_avg_sq"} <= set(report.roles)
    tensors = {t.name: t for t in ckpt.store.open_step(5).tensors}
    for name, parameter in run.model.named_parameters():
        for role in ("master", "exp_avg", "exp_avg_sq"):
            tensor = tensors[f"optimizer.state.{name}.{role}"]
            assert (tensor.role, tensor.group, tensor.dtype) == (role, name, "F32")
            assert tensor.shape == tuple(parameter.shape)
        assert tensors[f"model.{name}"].role == "weight"
        assert tensors[f"model.{name}"].group == name
    other = MixedPrecision(2, split)
    pointers = [m.data_ptr() for m in other.masters]
    ckpt.restore(model=other.model, optimizer=other.optimizer)
    assert other.bits() == run.bits()
    assert [m.data_ptr() for m in other.masters] == pointers
    for each in (run, other):
        torch.set_rng_state(ckpt.extra)
        each.train(5)
    assert other.bits() == run.bits()


def test_without_the_model_parameters_go_by_order(tmp_path):
    run = MixedPrecision(1)
    run.train(2)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(2, model=run.model, optimizer=run.optimizer)
    other = MixedPrecision(2)
    ckpt.restore(optimizer=other.optimizer)
    assert optimizer_bits(other.optimizer) == optimizer_bits(run.optimizer)
    assert [bits_of(m) for m in other.masters] == [bits_of(m) for m in run.masters]
