"""Training on a GPU: only where there is one."""

import pytest
import torch
from torch_training import frozen, make_model, model_bits

from bitsnap.torch import Checkpointer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(16, 12, device="cuda")).square().mean().backward()
        optimizer.step()


OPTIMIZERS = {
    "foreach": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
    "fused": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, fused=True),
    "capturable": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, capturable=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9),
}


@pytest.mark.parametrize("engine", ["thread", "agent", "sync"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_run_goes_on_as_if_it_had_not_ended(tmp_path, kind, engine):
    model = make_model().cuda()
    optimizer = OPTIMIZERS[kind](model.parameters())
    train(model, optimizer, 3)
    with Checkpointer(tmp_path, engine=engine) as ckpt:
        ckpt.save(3, model=model, optimizer=optimizer, extra={"rng": torch.cuda.get_rng_state()})
        train(model, optimizer, 2)  # at once: the copy must be complete
    again = make_model(seed=1).cuda()
    its_optimizer = OPTIMIZERS[kind](again.parameters())
    with Checkpointer(tmp_path, engine=engine) as ckpt:
        assert ckpt.restore(model=again, optimizer=its_optimizer) == 3
        torch.cuda.set_rng_state(ckpt.extra["rng"])
    train(again, its_optimizer, 2)
    assert model_bits(again) == model_bits(model)
    assert frozen(its_optimizer.state_dict()) == frozen(optimizer.state_dict())
    state = next(iter(its_optimizer.state.values()))
    was = next(iter(optimizer.state.values()))
    for key, value in state.items():
        assert getattr(value, "device", None) == getattr(was[key], "device", None), key


def test_what_another_stream_computes_is_waited_for_in_its_context(tmp_path):
    side = torch.cuda.Stream()
    large = torch.randn(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    with Checkpointer(tmp_path) as ckpt:
        with torch.cuda.stream(side):
            for _ in range(30):
                large = (large @ large).tanh()
            ckpt.save(1, model={"w": large})
            kept = large.clone()
            large.zero_()
        into = {"w": torch.empty_like(large)}
        assert ckpt.restore(model=into) == 1
    assert torch.equal(into["w"], kept)


def test_kinds_of_tensors_on_the_gpu(tmp_path):
    state = {
        "transposed": torch.randn(300, 500, device="cuda").T,
        "conjugate": torch.randn(70, dtype=torch.complex64, device="cuda").conj(),
        "empty": torch.empty(0, 3, device="cuda"),
        "scalar": torch.tensor(3.5, device="cuda"),
        "half": torch.randn(1001, device="cuda").half()[1:],
        "here": torch.randn(5),
    }
    with Checkpointer(tmp_path) as ckpt:
        ckpt.save(1, model=state)
        into = {name: torch.zeros_like(value) for name, value in state.items()}
        ckpt.restore(model=into)
    assert frozen(into) == frozen(state)
