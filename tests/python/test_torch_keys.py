"""Keys come back as they were, or are refused by name before anything is written."""

import enum
import subprocess
import sys

import pytest
import torch
from torch_training import frozen, make_model, model_bits, optimizer_bits, train

from bitsnap.torch import Checkpointer


def parameter(value=1.0):
    return torch.nn.Parameter(torch.full((2,), value))


def optimizer_of(p, state, **options):
    optimizer = torch.optim.SGD([{"params": [p], **options}], lr=0.1)
    optimizer.state[p] = state
    return optimizer


@pytest.mark.parametrize("keys", [(0, 1), ("g", "d"), (-1, "x"), ("a.b", "a")])
def test_optimizers_by_any_text_or_number(tmp_path, keys):
    def make(seed):
        model = make_model(seed)
        return model, {
            key: torch.optim.AdamW(model[i].parameters(), lr=10.0**-i)
            for key, i in zip(keys, (0, 3))
        }

    model, optimizers = make(1)
    for optimizer in optimizers.values():
        train(model, optimizer, 2)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(2, model, optimizers)
    other, restored = make(2)
    assert ckpt.restore(other, restored) == 2
    for key in keys:
        assert optimizer_bits(restored[key]) == optimizer_bits(optimizers[key])
    assert model_bits(other) == model_bits(model)


STATE_KEYS = [0, -3, 2**70, True, None, 1.5, ("a", 1), (), "a.b", "$", "v", "lone \udc80", b"x"]


@pytest.mark.parametrize("key", STATE_KEYS, ids=repr)
@pytest.mark.parametrize("is_tensor", [True, False])
def test_keys_of_optimizer_state_keep_their_types(tmp_path, key, is_tensor):
    p = parameter()
    value = torch.ones(3) if is_tensor else 7
    state = {key: value, str(key): "the same as text", "other": torch.zeros(1)}
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, {"w": p}, optimizer_of(p, state, **{"tag": 1}))
    for fresh in (optimizer_of(p, {}), optimizer_of(p, {key: torch.zeros(3)})):
        ckpt.restore({"w": p}, fresh)
        assert frozen(dict(fresh.state[p])) == frozen(state)
        assert [type(each) for each in fresh.state[p]] == [type(each) for each in state]


def test_keys_of_parameter_groups_keep_their_types(tmp_path):
    p = parameter()
    optimizer = torch.optim.SGD([{"params": [p], 7: "int", (1, "a"): torch.ones(2)}], lr=0.1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, {"w": p}, optimizer)
    fresh = torch.optim.SGD([p], lr=0.2)
    ckpt.restore({"w": p}, fresh)
    group = fresh.param_groups[0]
    assert group[7] == "int" and group[1, "a"].tolist() == [1, 1] and group["lr"] == 0.1


class Color(enum.IntEnum):
    RED = 1


def expect_refused(tmp_path, match, **state):
    ckpt = Checkpointer(tmp_path)
    with pytest.raises(TypeError, match=match):
        ckpt.save(1, **state)
    assert not list(tmp_path.iterdir())
    return ckpt


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (Color.RED, "Color"),
        (torch.ones(1), "tensor"),
        (object(), "object"),
        ((torch.optim.SGD([torch.ones(1)], 0.1),), "SGD"),
    ],
    ids=lambda value: value if isinstance(value, str) else "key",
)
def test_other_keys_of_state_are_refused(tmp_path, key, named):
    p = parameter()
    match = rf"optimizer.state.w.*{named}"
    expect_refused(tmp_path, match, model={"w": p}, optimizer=optimizer_of(p, {key: 1}))


def test_state_that_is_no_dict_is_refused(tmp_path):
    p = parameter()
    match = "optimizer.state.w is a list, no dict"
    expect_refused(tmp_path, match, model={"w": p}, optimizer=optimizer_of(p, [torch.ones(1)]))


BAD_MODELS = {
    "int": ({0: torch.ones(1)}, "model has the key 0, a int"),
    "int of a module": ({3: torch.nn.Linear(1, 1)}, "model has the key 3"),
    "tuple": ({("a", "b"): torch.ones(1)}, r"model has the key \('a', 'b'\)"),
    "none": ({None: torch.ones(1)}, "model has the key None"),
    "surrogate": ({"w\udc80": torch.ones(1)}, r"'w\\udc80', which is not valid UTF-8"),
    "surrogate of a module": ({"w\udc80": torch.nn.Linear(1, 1)}, "not valid UTF-8"),
    "joined": (
        {"a": torch.nn.Linear(1, 1), "a.weight": torch.ones(1)},
        "two tensors named 'a.weight'",
    ),
    "joined first": (
        {"a.weight": torch.ones(1), "a": torch.nn.Linear(1, 1)},
        "two tensors named 'a.weight'",
    ),
    "joined modules": (
        {"a.b": torch.nn.Linear(1, 1), "a": torch.nn.ModuleDict({"b": torch.nn.Linear(1, 1)})},
        "two tensors named 'a.b.weight'",
    ),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_names_of_the_model_are_text_and_unique(tmp_path, kind):
    model, match = BAD_MODELS[kind]
    ckpt = expect_refused(tmp_path, match, model=model)
    with pytest.raises(TypeError, match=match):
        ckpt.restore(model=model)


def test_text_of_a_subclass_is_a_name(tmp_path):
    class Name(str, enum.Enum):
        HEAD = "head"

    tensor = torch.ones(2)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={Name.HEAD: tensor})
    tensor.zero_()
    ckpt.restore(model={"head": tensor})
    assert tensor.tolist() == [1, 1]


@pytest.mark.parametrize("key", [None, (0, 1), True, "\udc80", parameter()], ids=repr)
def test_other_keys_of_optimizers_are_refused(tmp_path, key):
    p = parameter()
    match = "optimizer has the key "
    expect_refused(tmp_path, match, model={"w": p}, optimizer={key: torch.optim.SGD([p], 0.1)})


def test_a_number_and_its_text_are_no_two_optimizers(tmp_path):
    optimizers = {0: torch.optim.SGD([parameter()], 0.1), "0": torch.optim.SGD([parameter()], 0.1)}
    expect_refused(tmp_path, "optimizer has the keys '0' and 0", optimizer=optimizers)


def test_keys_of_extra(tmp_path):
    extra = {
        "lone \udc80": torch.ones(1),
        "x" * 100_000: torch.zeros(1),
        "x" * 100_000 + "y": torch.ones(2),
        0: torch.ones(3),
        "0": torch.ones(4),
    }
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, extra=extra)
    ckpt.restore()
    assert frozen(ckpt.extra) == frozen(extra)


@pytest.mark.parametrize("wrap", [lambda s: {s: 1}, lambda s: {(1, s): 1}, lambda s: [{s}]])
def test_objects_with_a_state_are_no_keys(tmp_path, wrap):
    scheduler = torch.optim.lr_scheduler.StepLR(torch.optim.SGD([parameter()], 0.1), 3)
    expect_refused(tmp_path, "cannot store a .*StepLR", extra=wrap(scheduler))


def test_views_of_one_memory_keep_their_own_state(tmp_path):
    base = torch.zeros(2)
    first, second = torch.nn.Parameter(base), torch.nn.Parameter(base)
    assert first.data_ptr() == second.data_ptr()
    optimizer = torch.optim.SGD([first, second], lr=0.1)
    optimizer.state[first], optimizer.state[second] = {"n": 1}, {"n": 2}
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, {"w": first}, optimizer)
    fresh = torch.optim.SGD([first, second], lr=0.1)
    ckpt.restore({"w": first}, fresh)
    assert [fresh.state[p]["n"] for p in (first, second)] == [1, 2]


def test_names_that_the_model_has_are_not_made_up(tmp_path):
    p, other = parameter(), torch.nn.Parameter(torch.ones(5))
    optimizer = torch.optim.SGD([other, p], lr=0.1)
    optimizer.state[other], optimizer.state[p] = {"n": 1}, {"n": 2}
    model = {"param_0": p}
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model, optimizer)
    fresh = torch.optim.SGD([other, p], lr=0.1)
    ckpt.restore(model, fresh)
    assert [fresh.state[each]["n"] for each in (other, p)] == [1, 2]


def test_state_of_a_parameter_outside_the_groups_is_named(tmp_path):
    model = make_model()
    optimizer = torch.optim.AdamW(model[0].parameters())
    optimizer.state[model[3].weight] = {"step": torch.tensor(1.0)}
    match = r"state of the parameter '3.weight' of shape \[4, 32\].*add_param_group"
    expect_refused(tmp_path, match, model=model, optimizer=optimizer)
    optimizer.state = {"calls": 3}
    match = r"keeps state\['calls'\].*pass it in `extra`"
    expect_refused(tmp_path, match, model=model, optimizer=optimizer)


def test_numpy_is_not_needed(tmp_path):
    script = """
import sys, warnings
warnings.simplefilter("ignore")  # torch's own about numpy
sys.modules["numpy"] = None
import torch
from bitsnap.torch import Checkpointer
with Checkpointer(sys.argv[1]) as ckpt:
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.9)
    p.sum().backward()
    optimizer.step()
    ckpt.save(1, {"w": p}, optimizer, extra=[1, torch.ones(2)])
    assert ckpt.restore({"w": p}, optimizer) == 1
"""
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)
