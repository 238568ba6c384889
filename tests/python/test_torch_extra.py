"""`extra`: any plain values come back with their bits and types; nothing is pickled."""

import pickle
import random
from collections import Counter, OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from torch_training import frozen, make_model, nan_with_payload, train

from bitsnap.torch import Checkpointer

VALUES = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -1, 2**63 - 1, -(2**63), 2**63, -(2**64), 7**20000],
    "floats": [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf")],
    "nans": [float("nan"), -float("nan"), nan_with_payload(12345)],
    "complex": complex(-0.0, float("inf")),
    "str": ["", "Grüße \U0001f600", "a\nb\x00c", "lone \udc80 surrogate"],
    "bytes": [b"", bytes(range(256)), bytearray(b"abc")],
    "containers": [(), (1, (2, [3])), set(), {1, "a", (2, 3)}, frozenset({None, 1.5})],
    "dicts": [{}, {1: "int", "1": "str", (1, 2): [3], None: 0}, {"$": "tuple", "v": [1]}],
    "ordered": OrderedDict([("b", 1), ("a", 2)]),
    "counter": Counter({3: 2, 5: 1}),
    "torch": [torch.Size([2, 3]), torch.bfloat16, torch.device("cuda:1"), torch.device("cpu")],
    "tensors": [torch.tensor(1.5), torch.empty(0, 3), torch.ones(2, dtype=torch.bfloat16)],
    "arrays": [
        np.array(3, dtype=np.int8),
        np.arange(6, dtype=np.uint16).reshape(2, 3)[:, ::-1],
        np.asfortranarray(np.random.default_rng(0).random((3, 4))),
        np.array([True, False]),
        np.array([1 + 2j], dtype=np.complex64),
        np.zeros((0, 2), dtype=np.float16),
    ],
    "scalars": [np.float32(0.1), np.float64("nan"), np.int64(-5), np.bool_(True), np.uint8(3)],
    "time": np.datetime64("2026-01-02T03:04:05"),
    "same name": {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}},
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_come_back_exactly(tmp_path, kind):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, extra={"value": VALUES[kind]}).wait()
    other = Checkpointer(tmp_path)
    assert other.restore() == 1
    assert frozen(other.extra) == frozen({"value": VALUES[kind]})


def test_a_lone_value(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, extra=torch.arange(3))
    ckpt.restore()
    assert torch.equal(ckpt.extra, torch.arange(3))


def test_random_generators_go_on_where_they_were(tmp_path):
    generator = np.random.default_rng(3)
    ckpt = Checkpointer(tmp_path)
    states = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy_legacy": np.random.get_state(),
        "numpy": generator.bit_generator.state,
    }
    ckpt.save(1, extra=states)

    def draw():
        numpy_draws = np.random.rand(3).tolist(), generator.random()
        return torch.rand(3).tolist(), random.random(), numpy_draws

    expected = draw()
    ckpt.restore()
    torch.set_rng_state(ckpt.extra["torch"])
    random.setstate(ckpt.extra["python"])
    np.random.set_state(ckpt.extra["numpy_legacy"])
    generator.bit_generator.state = ckpt.extra["numpy"]
    assert draw() == expected


SCHEDULERS = {
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    "milestones": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 2, 4]),
    "one_cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    "sequence": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o),
            torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        ],
        [3],
    ),
}


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_objects_with_a_state_are_loaded_in_place(tmp_path, kind):
    def make():
        model = make_model(1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, SCHEDULERS[kind](optimizer)

    def advance(model, optimizer, scheduler, steps):
        for _ in range(steps):
            train(model, optimizer, 1)
            scheduler.step(*([1.0] if kind == "plateau" else []))

    model, optimizer, scheduler = run = make()
    advance(*run, 4)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(4, model, optimizer, {"epoch": 2, "schedulers": [scheduler]})
    other, restored_optimizer, restored = make()
    extra = {"epoch": None, "schedulers": [restored]}
    ckpt.restore(other, restored_optimizer, extra)
    assert ckpt.extra["epoch"] == 2
    assert frozen(restored.state_dict()) == frozen(scheduler.state_dict())
    advance(*run, 5)
    advance(other, restored_optimizer, restored, 5)
    assert restored_optimizer.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_a_missing_state_is_reported_before_anything_changes(tmp_path):
    model = {"w": torch.ones(2)}
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model, extra={"list": [1]})
    model["w"].zero_()
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    wanted = {"list": [1, SCHEDULERS["cosine"](optimizer)]}
    with pytest.raises(ValueError, match="extra.list.1: wanted, but not stored"):
        ckpt.restore(model=model, extra=wanted)
    assert not model["w"].any()


def test_tensors_in_extra_are_not_filled_and_that_is_told(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, extra={"ema": [torch.ones(2)]})
    with pytest.warns(RuntimeWarning, match="extra.ema.0: tensors in `extra` are not filled"):
        ckpt.restore(extra={"ema": [torch.zeros(2)]})
    assert ckpt.extra["ema"][0].tolist() == [1, 1]


class Opaque:
    pass


Point = namedtuple("Point", "x y")


def containing_itself():
    value = []
    value.append(value)
    return value


UNSUPPORTED = {
    "object": (Opaque(), "Opaque"),
    "class": (torch.nn.Linear, "builtins.type"),
    "function": (len, "builtin_function_or_method"),
    "named tuple": (Point(1, 2), "Point"),
    "object array": (np.array([Opaque()]), "numpy array of object"),
    "text array": (np.array(["a"]), "numpy array of <U1"),
    "big-endian array": (np.arange(3, dtype=">i4"), "numpy array of >i4"),
    "generator": (torch.Generator(), "Generator"),
    "cycle": (containing_itself(), "contains itself"),
    "key": ({Opaque(): 1}, "Opaque"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_what_cannot_be_stored_is_named_before_anything_is_written(tmp_path, kind):
    value, named = UNSUPPORTED[kind]
    with pytest.raises(TypeError, match=f"extra.data.1.*{named}"):
        Checkpointer(tmp_path).save(1, extra={"data": [0, value]})
    assert not list(tmp_path.iterdir())


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    model = make_model(1)
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer, 1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model, optimizer, VALUES)
    ckpt.restore(model, optimizer)
    (file,) = tmp_path.glob("step-*/*.bsnap")
    content = file.read_bytes()
    metadata = ckpt.store.open_step(1).metadata
    for opcode in (b"\x80\x02", b"\x80\x03", b"\x80\x04\x95", b"\x80\x05\x95"):
        assert opcode not in metadata and not content.startswith(opcode)
    metadata.decode("ascii")


def test_equal_content_makes_equal_files(tmp_path):
    """Whatever the order of sets; save ids differ, so the metadata is compared."""
    first, second = Checkpointer(tmp_path / "a"), Checkpointer(tmp_path / "b")
    first.save(1, extra={"set": {f"k{i}" for i in range(100)}}).wait()
    second.save(1, extra={"set": {f"k{i}" for i in reversed(range(100))}}).wait()
    assert first.store.open_step(1).metadata == second.store.open_step(1).metadata
