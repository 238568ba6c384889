"""What torch has set for the thread, such as a default device, changes nothing."""

import functools

import pytest
import torch
from torch_training import Run, bits_of
from torch.overrides import TorchFunctionMode

from bitsnap.torch import Checkpointer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Elsewhere(torch.Tensor):
    """Like a tensor of a GPU in one point: cpu() gives a copy."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        out = super().__torch_function__(function, types, args, kwargs or {})
        return out.as_subclass(torch.Tensor).clone() if function is torch.Tensor.cpu else out


class DefaultElsewhere(TorchFunctionMode):
    """As a default device: what is made without one is elsewhere, and is no zeros."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function is torch.empty and (kwargs or {}).get("device") is None:
            out = out.fill_(-777).as_subclass(Elsewhere)
        return out


@functools.cache
def lazy():
    """A second device that every build of torch has."""
    import torch._lazy.ts_backend

    torch._lazy.ts_backend.init()
    return torch.device("lazy")


AMBIENT = {
    "cpu": lambda: torch.device("cpu"),
    "meta": lambda: torch.device("meta"),
    "lazy": lazy,
    "elsewhere": DefaultElsewhere,
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
}


def layouts(fill):
    base = torch.arange(6.0).reshape(2, 3) * fill
    conjugated = torch.complex(base, -base).conj()
    leaf = torch.nn.Parameter(base.clone().t())
    return {"plain": base, "transposed": base.clone().t(), "conj": conjugated, "leaf": leaf}


@pytest.mark.parametrize("kind", AMBIENT)
def test_restoring_under(tmp_path, kind):
    saved = Run(1).to(3, seed=1)
    ckpt = Checkpointer(tmp_path)
    extra, model = {"rng": torch.get_rng_state(), "list": [torch.arange(3)]}, layouts(1)
    with AMBIENT[kind]():
        ckpt.save(1, {"m": saved.model, **model}, saved.optimizer, extra).wait()
    fresh, target = Run(2), layouts(0)
    with AMBIENT[kind]():
        ckpt.prepare({"m": fresh.model, **target}, fresh.optimizer)
        assert ckpt.restore({"m": fresh.model, **target}, fresh.optimizer) == 1
    assert fresh.bits() == saved.bits()
    assert all(bits_of(target[name]) == bits_of(t) for name, t in layouts(1).items())
    assert type(ckpt.extra["rng"]) is torch.Tensor and ckpt.extra["rng"].device.type == "cpu"
    assert torch.equal(ckpt.extra["rng"], extra["rng"])
    assert ckpt.extra["list"][0].tolist() == [0, 1, 2]
    # No inference tensors either: they could not be trained on.
    assert fresh.to(2, seed=5).bits() == saved.to(2, seed=5).bits()


def test_restoring_into_inference_tensors(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=layouts(1))
    with torch.inference_mode():
        target = layouts(0)
    ckpt.restore(model=target)
    assert all(bits_of(target[name]) == bits_of(t) for name, t in layouts(1).items())


def test_what_is_tied_on_a_device_without_addresses(tmp_path):
    def model(tied):
        made = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2, bias=False) for name in "ab"})
        made = made.to(lazy())
        if tied:
            made["b"].weight = made["a"].weight
        return made

    ckpt = Checkpointer(tmp_path)
    saved, fresh = model(tied=True), model(tied=True)
    ckpt.save(1, model=saved)
    ckpt.restore(model=fresh)
    assert bits_of(fresh["a"].weight) == bits_of(saved["a"].weight)
    ckpt.save(2, model=model(tied=False))
    with pytest.raises(ValueError, match="model.a.weight and model.b.weight: lie in the same"):
        ckpt.restore(model=fresh)
    with pytest.raises(ValueError, match="model.x and model.y: lie in the same"):
        ckpt.save(3, model={"x": torch.zeros(2), "y": torch.ones(2)})
        one = torch.zeros(2).to(lazy())
        ckpt.restore(model={"x": one, "y": one})
    assert bits_of(fresh["a"].weight) == bits_of(saved["a"].weight)
