"""Tensors whose memory is not what they say: freed, shrunk, shared, or not theirs alone."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.masked import masked_tensor

from bitsnap.torch import Checkpointer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def with_storage_of(tensor, size):
    tensor.untyped_storage().resize_(size)
    return tensor


def fake():
    with FakeTensorMode():
        return torch.ones(4)


class Quantized(torch.nn.Parameter):
    """Its bytes mean nothing without its scale."""

    def __new__(cls):
        made = super().__new__(cls, torch.ones(4, dtype=torch.uint8), requires_grad=False)
        made.scale = 3.0
        return made


class Slotted(torch.Tensor):
    __slots__ = ("scale",)


LACKING = {
    "freed": lambda: with_storage_of(torch.ones(4), 0),
    "freed parameter": lambda: torch.nn.Parameter(with_storage_of(torch.ones(4), 0)),
    "shrunk": lambda: with_storage_of(torch.ones(4_000_000), 16),
    "shrunk by a byte": lambda: with_storage_of(torch.ones(4), 15),
    "view past the end": lambda: with_storage_of(torch.ones(8)[4:], 20),
    "strided past the end": lambda: with_storage_of(torch.ones(4, 4).t(), 60),
    "expanded": lambda: with_storage_of(torch.ones(1).expand(4), 0),
    "fake": fake,
    "zero": lambda: torch._efficientzerotensor((4,)),
    "functional": lambda: torch._to_functional_tensor(torch.ones(4)),
}
MEANING_MORE = {
    "masked": lambda: masked_tensor(torch.ones(2), torch.tensor([True, False])),
    "jagged": lambda: torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged),
    "attribute": Quantized,
    "slots": lambda: torch.ones(4).as_subclass(Slotted),
}


@pytest.mark.parametrize("kind", [*LACKING, *MEANING_MORE])
@pytest.mark.parametrize("place", ["model", "extra"])
def test_is_refused_by_name(tmp_path, kind, place):
    tensor = {**LACKING, **MEANING_MORE}[kind]()
    with pytest.raises(TypeError, match=f"^{place}.t "):
        Checkpointer(tmp_path).save(1, **{place: {"t": tensor}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("transform", [torch.vmap, lambda f: torch.func.grad(lambda x: f(x).sum())])
def test_inside_of_transforms_is_refused(tmp_path, transform):
    def save(tensor):
        Checkpointer(tmp_path).save(1, model={"t": tensor})
        return tensor

    with pytest.raises(TypeError, match="model.t "):
        transform(save)(torch.ones(3))


@pytest.mark.parametrize("kind", LACKING)
def test_as_a_target_is_refused_and_nothing_is_touched(tmp_path, kind):
    ckpt = Checkpointer(tmp_path)
    target = {"a": torch.zeros(2), "t": LACKING[kind]()}
    ckpt.save(1, model={"a": torch.ones(2), "t": torch.ones(target["t"].shape)})
    with pytest.raises(TypeError, match="model.t "):
        ckpt.restore(model=target)
    assert not target["a"].any()


def test_under_a_fake_mode(tmp_path):
    ckpt = Checkpointer(tmp_path, engine="sync")
    tensor = torch.ones(4)
    ckpt.save(1, model={"t": tensor}, extra=torch.ones(2))
    with FakeTensorMode():
        with pytest.raises(TypeError, match="FakeTensorMode"):
            ckpt.save(2, model={"t": tensor})
        with pytest.raises(TypeError, match="FakeTensorMode"):
            ckpt.restore(model={"t": tensor})


def test_subclasses_that_are_only_bytes_are_stored(tmp_path):
    class Named(torch.Tensor):
        pass

    ckpt = Checkpointer(tmp_path)
    saved = torch.nn.Parameter(torch.ones(2).as_subclass(Named))
    ckpt.save(1, model={"t": saved})
    target = torch.zeros(2).as_subclass(Named)
    ckpt.restore(model={"t": target})
    assert target.tolist() == [1, 1]


def overlapping_by_numpy():
    """Storages of their own, and still the same memory."""
    memory = np.zeros(6, np.float32)
    return {"x": torch.from_numpy(memory[:4]), "y": torch.from_numpy(memory[2:])}


def tied():
    memory = torch.zeros(4)
    return {"x": memory, "y": memory}


def conjugated():
    memory = torch.zeros(4, dtype=torch.complex64)
    return {"x": memory, "y": memory.conj()}


def of_other_dtypes():
    memory = torch.zeros(4)
    return {"x": memory, "y": memory.view(torch.int32)}


def views(count, *make):
    """Views x and y of the same zeros."""
    memory = torch.zeros(count)
    return dict(zip("xy", [each(memory) for each in make]))


OVERLAPPING = {
    "tied": tied,
    "numpy": overlapping_by_numpy,
    "slices": lambda: views(6, lambda m: m[:4], lambda m: m[2:]),
    "strided": lambda: views(6, lambda m: m[::2], lambda m: m[1:]),
    "as_strided": lambda: views(6, lambda m: m, lambda m: m.as_strided((2,), (2,))),
    "transposed": lambda: views(4, lambda m: m.view(2, 2), lambda m: m.view(2, 2).t()),
    "conjugated": conjugated,
    "dtypes": of_other_dtypes,
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", OVERLAPPING)
def test_two_that_differ_do_not_go_into_one_memory(tmp_path, kind, strict):
    target = OVERLAPPING[kind]()
    saved = {name: t.clone() for name, t in target.items()}
    saved["x"] += 1
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={"a": torch.ones(2), **saved})
    before = torch.zeros(2)
    with pytest.raises(ValueError, match="model.[xy] and model.[xy]: .*same memory") as caught:
        ckpt.restore(model={"a": before, **target}, strict=strict)
    assert "model.x" in str(caught.value) and "model.y" in str(caught.value)
    assert not before.any() and not any(t.any() for t in target.values())


@pytest.mark.parametrize("kind", OVERLAPPING)
def test_what_one_memory_can_hold_comes_back(tmp_path, kind):
    saved = OVERLAPPING[kind]()
    memory = saved["x"] if saved["x"].numel() >= saved["y"].numel() else saved["y"]
    memory.copy_(torch.arange(memory.numel()).reshape(memory.shape))
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=saved)
    target = OVERLAPPING[kind]()
    ckpt.restore(model=target)
    assert all(torch.equal(target[name], saved[name]) for name in saved)


def test_of_many_in_one_memory_the_two_that_differ_are_named(tmp_path):
    flat = torch.zeros(30)
    target = {"flat": flat, **{f"part{i}": flat[10 * i : 10 * i + 10] for i in range(3)}}
    saved = {name: tensor.clone() for name, tensor in target.items()}
    saved["part1"][3] = 7
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=saved)
    with pytest.raises(ValueError) as caught:
        ckpt.restore(model=target)
    assert "model.flat and model.part1" in str(caught.value)
    assert "part0" not in str(caught.value) and "part2" not in str(caught.value)


ON_ITSELF = {
    "expanded": lambda: torch.zeros(3).expand(2, 3),
    "unfolded": lambda: torch.zeros(4).unfold(0, 3, 1),
}


@pytest.mark.parametrize("kind", ON_ITSELF)
def test_a_target_that_overlaps_itself(tmp_path, kind):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={"a": torch.ones(2), "t": torch.arange(6.0).reshape(2, 3)})
    target = {"a": torch.zeros(2), "t": ON_ITSELF[kind]()}
    with pytest.raises(ValueError, match="model.t: its elements share memory"):
        ckpt.restore(model=target)
    assert not target["a"].any() and not target["t"].any()
    ckpt.save(2, model={"a": torch.ones(2), "t": torch.ones(2, 3)})
    ckpt.restore(model=target)
    assert target["t"].eq(1).all() and target["a"].all()


def test_an_untied_model_does_not_go_into_a_tied_one(tmp_path):
    def model(tied):
        made = torch.nn.ModuleDict(
            {"embedding": torch.nn.Embedding(5, 3), "head": torch.nn.Linear(3, 5, bias=False)}
        )
        if tied:
            made["head"].weight = made["embedding"].weight
        return made

    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model(tied=False))
    target = model(tied=True)
    before = target["head"].weight.clone()
    with pytest.raises(ValueError, match="model.embedding.weight and model.head.weight"):
        ckpt.restore(model=target)
    assert torch.equal(target["head"].weight, before)


def test_optimizer_state_in_the_models_memory(tmp_path):
    parameter = torch.nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([parameter], momentum=0.9)
    optimizer.state[parameter]["momentum_buffer"] = torch.ones(4)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={"w": parameter}, optimizer=optimizer)
    optimizer.state[parameter]["momentum_buffer"] = parameter.detach()
    with pytest.raises(ValueError, match="model.w and optimizer.state.w.momentum_buffer"):
        ckpt.restore(model={"w": parameter}, optimizer=optimizer)
