"""Models: every dtype and layout, ties, hooks, extra states, and what does not fit."""

import pytest
import torch
from torch_training import bits_of, frozen, make_model, model_bits

from bitsnap.torch import Checkpointer

# Of torch, about dtypes and layouts that it does not promise to keep.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DTYPES = sorted(
    {
        d
        for d in vars(torch).values()
        if isinstance(d, torch.dtype)
        and (d.is_floating_point or d.is_complex or d in (torch.bool, torch.uint8, torch.int8))
    }
    | {torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64},
    key=str,
)
SHAPES = [(), (0,), (1,), (3, 5), (2, 0, 4), (7, 1, 9)]


def random_tensor(dtype, shape, seed=0):
    """Any bits, NaN payloads included; bools hold 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    count = torch.empty(shape, dtype=dtype).numel()
    high = 2 if dtype == torch.bool else 256
    raw = torch.randint(0, high, (count * dtype.itemsize,), generator=generator).to(torch.uint8)
    return raw.view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("profile", ["exact", "fast", "paper"])
def test_every_dtype_and_shape(tmp_path, dtype, profile):
    saved = {f"t{i}": random_tensor(dtype, shape, i) for i, shape in enumerate(SHAPES)}
    ckpt = Checkpointer(tmp_path, profile=profile)
    ckpt.save(1, model=saved, extra=list(saved.values()))
    restored = {f"t{i}": random_tensor(dtype, shape, 9) for i, shape in enumerate(SHAPES)}
    assert ckpt.restore(model=restored) == 1
    for name, tensor in saved.items():
        assert bits_of(restored[name]) == bits_of(tensor)
    assert frozen(ckpt.extra) == frozen(list(saved.values()))


def layouts():
    base = torch.arange(24.0).reshape(4, 6)
    complex_base = torch.complex(base, -base)
    return {
        "transposed": base.t(),
        "sliced": base[:, ::2],
        "offset": base[1:],
        "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "conj": complex_base.conj(),
        "neg": complex_base.conj().imag,
    }


@pytest.mark.parametrize("name", layouts())
def test_any_layout_is_saved_and_restored_in_place(tmp_path, name):
    tensor = layouts()[name]
    expected = bits_of(tensor)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={"t": tensor})
    target = layouts()[name]
    target.zero_()
    pointer, stride = target.data_ptr(), target.stride()
    ckpt.restore(model={"t": target})
    assert bits_of(target) == expected
    assert (target.data_ptr(), target.stride()) == (pointer, stride)


def test_module_with_buffers_is_restored_in_place(tmp_path):
    model = make_model(1)
    model(torch.randn(8, 12))
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model)
    other = make_model(2)
    pointers = [p.data_ptr() for p in other.parameters()]
    ckpt.restore(model=other)
    assert model_bits(other) == model_bits(model)
    assert [p.data_ptr() for p in other.parameters()] == pointers
    assert all(p.requires_grad and p.is_leaf for p in other.parameters())


class Tied(torch.nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = torch.nn.Embedding(64, 32)
        self.head = torch.nn.Linear(32, 64, bias=False)
        self.head.weight = self.embedding.weight


def test_tied_weights_stay_tied_and_are_stored_once(tmp_path):
    model = Tied(1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model).wait()
    stored = {t.name: t for t in ckpt.store.open_step(1).tensors}
    assert set(stored) == {"model.embedding.weight", "model.head.weight"}
    assert min(t.stored_bytes for t in stored.values()) == 0
    other = Tied(2)
    ckpt.restore(model=other)
    assert other.head.weight is other.embedding.weight
    assert model_bits(other) == model_bits(model)


class Stateful(torch.nn.Linear):
    """Keeps a value besides its tensors."""

    counter = 0

    def get_extra_state(self):
        return {"counter": self.counter, "history": torch.arange(self.counter, device="cpu")}

    def set_extra_state(self, state):
        self.counter = state["counter"]
        self.history = state["history"]


def test_extra_state_of_modules(tmp_path):
    model = torch.nn.Sequential(Stateful(2, 3), Stateful(3, 2))
    model[1].counter = 5
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model)
    other = torch.nn.Sequential(Stateful(2, 3), Stateful(3, 2))
    ckpt.restore(model=other)
    assert [m.counter for m in other] == [0, 5]
    assert torch.equal(other[1].history, torch.arange(5))
    assert model_bits(other) == model_bits(model)


def test_state_dict_hooks_that_copy(tmp_path):
    """What such a hook hands out is not the parameter's memory."""

    def make(seed):
        model = make_model(seed)
        model.register_state_dict_post_hook(
            lambda module, state, prefix, metadata: state.update(
                {name: value.clone() for name, value in state.items()}
            )
        )
        return model

    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=make(1))
    other = make(2)
    ckpt.restore(model=other)
    assert model_bits(other) == model_bits(make(1))


def test_several_modules_and_tensors_in_a_dict(tmp_path):
    ckpt = Checkpointer(tmp_path)
    saved = {"gen": make_model(1), "disc": make_model(2), "ema": torch.rand(5)}
    ckpt.save(1, model=saved).wait()
    names = {t.name for t in ckpt.store.open_step(1).tensors}
    assert {"model.gen.0.weight", "model.disc.0.weight", "model.ema"} <= names
    restored = {"gen": make_model(3), "disc": make_model(4), "ema": torch.zeros(5)}
    ckpt.restore(model=restored)
    assert model_bits(restored["gen"]) == model_bits(saved["gen"])
    assert model_bits(restored["disc"]) == model_bits(saved["disc"])
    assert torch.equal(restored["ema"], saved["ema"])


def test_every_mismatch_is_listed_and_nothing_is_touched(tmp_path):
    ckpt = Checkpointer(tmp_path)
    shapes = {"a": (2, 3), "b": (4,), "c": (1,), "d": (2,)}
    ckpt.save(7, model={name: torch.ones(shape) for name, shape in shapes.items()})
    target = {
        "a": torch.zeros(3, 2),
        "b": torch.zeros(4, dtype=torch.float64),
        "d": torch.zeros(2),
        "e": torch.zeros(1),
    }
    with pytest.raises(ValueError) as caught:
        ckpt.restore(model=target)
    message = str(caught.value)
    assert "model.a: stored F32 [2, 3], wanted F32 [3, 2]" in message
    assert "model.b: stored F32 [4], wanted F64 [4]" in message
    assert "model.c: stored, but not wanted" in message
    assert "model.e: wanted, but not stored" in message
    assert "step 7" in message and "model.d" not in message
    assert all(not tensor.any() for tensor in target.values())


def test_not_strict_takes_what_both_have(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={"a": torch.ones(2), "b": torch.ones(2)})
    target = {"a": torch.zeros(2), "c": torch.zeros(2)}
    with pytest.warns(RuntimeWarning, match="step 1 has no values for model.c; left"):
        assert ckpt.restore(model=target, strict=False) == 1
    assert torch.equal(target["a"], torch.ones(2)) and not target["c"].any()
    with pytest.raises(ValueError, match="model.a: stored F32 .2., wanted F32 .3."):
        ckpt.restore(model={"a": torch.zeros(3)}, strict=False)


UNSUPPORTED = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "meta": lambda: torch.empty(3, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
    "lazy": lambda: torch.nn.LazyLinear(3).weight,
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_tensors_that_are_more_than_their_bytes_are_refused(tmp_path, kind):
    with pytest.raises(TypeError, match="model.t "):
        Checkpointer(tmp_path).save(1, model={"t": UNSUPPORTED[kind]()})
    assert not list(tmp_path.iterdir())


def test_autograd_notices_that_weights_changed(tmp_path):
    model = make_model(1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model)
    loss = model(torch.randn(8, 12)).sum()
    ckpt.restore(model=model)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_lossy_profile_keeps_weights_exact(tmp_path):
    model = make_model(1).to(torch.bfloat16)
    ckpt = Checkpointer(tmp_path, profile="paper")
    ckpt.save(1, model=model)
    other = make_model(2).to(torch.bfloat16)
    ckpt.restore(model=other)
    assert model_bits(other) == model_bits(model)
