"""What is restored into what does not fit it: told before anything changes, with what helps."""

import json

import pytest
import torch
from torch_training import make_model, model_bits, optimizer_bits, train

import bitsnap
from bitsnap.torch import Checkpointer


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.5)


class Tuned(torch.optim.AdamW):
    pass


OTHER_KINDS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p),
    "adam": lambda p: torch.optim.Adam(p),
    "subclass": lambda p: Tuned(p),
}
# Their state means the same, and strict=False says that it is meant to be taken.
LIKE_ADAMW = ("adam", "subclass")


@pytest.fixture
def saved(tmp_path):
    """A Checkpointer, and the model and AdamW that it saved."""
    model = make_model(1)
    optimizer = adamw(model)
    train(model, optimizer, 2)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(2, model, optimizer).wait()
    return ckpt, model, optimizer


def without_kind(ckpt, path):
    """The same step as an older version wrote it."""
    step = ckpt.store.open_step(2)
    content = json.loads(step.metadata)
    for stored in content["optimizers"].values():
        del stored["kind"]
    tensors = []
    for t in step.tensors:
        data = bytearray(t.raw_bytes)
        if data:
            step.read_into([(t.name, data)])
        tensors.append(bitsnap.Tensor(t.name, t.dtype, t.shape, data, t.role, t.group))
    older = Checkpointer(path)
    older.store.save(tensors, 2, metadata=json.dumps(content).encode())
    return older


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_another_kind_of_optimizer_is_refused(saved, kind):
    ckpt, model, optimizer = saved
    other = make_model(2)
    fresh = OTHER_KINDS[kind](other.parameters())
    before = model_bits(other), optimizer_bits(fresh)
    match = r"optimizer.kind: stored by torch.optim.AdamW, wanted by .*\n"
    with pytest.raises(ValueError, match=match) as error:
        ckpt.restore(other, fresh)
    assert ("strict=False" in str(error.value)) == (kind in LIKE_ADAMW)
    assert (model_bits(other), optimizer_bits(fresh)) == before

    if kind in LIKE_ADAMW:
        ckpt.restore(other, fresh, strict=False)
        assert frozenset(fresh.state[other[0].weight]) >= {"exp_avg", "exp_avg_sq"}
    else:
        with pytest.raises(ValueError, match=match) as error:
            ckpt.restore(other, fresh, strict=False)
        assert "strict=False" not in str(error.value)
        assert (model_bits(other), optimizer_bits(fresh)) == before
    assert ckpt.restore(other) == 2  # the way out


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_steps_without_a_kind_are_told_by_the_options(saved, tmp_path, kind):
    ckpt, model, optimizer = saved
    older = without_kind(ckpt, tmp_path / "older")
    other = make_model(2)
    same = adamw(other)
    older.restore(other, same)
    assert optimizer_bits(same) == optimizer_bits(optimizer)
    fresh = OTHER_KINDS[kind](other.parameters())
    if kind in LIKE_ADAMW:
        assert older.restore(other, fresh) == 2
    else:
        with pytest.raises(ValueError, match="stored by an optimizer with the options .*betas"):
            older.restore(other, fresh)


def test_kinds_of_each_of_several(tmp_path):
    model = make_model(1)

    def make(swapped):
        first = torch.optim.AdamW(model[0].parameters())
        second = torch.optim.SGD(model[0].parameters(), lr=0.1)
        return [second, first] if swapped else [first, second]

    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model, make(False))
    ckpt.restore(model, make(False))
    with pytest.raises(ValueError, match=r"optimizer.0.kind(.|\n)*optimizer.1.kind"):
        ckpt.restore(model, make(True))


def test_a_class_of_the_script_is_the_same_when_imported(tmp_path):
    p = torch.nn.Parameter(torch.ones(1))

    def make(module):
        return type("Own", (torch.optim.SGD,), {"__module__": module})([p], lr=0.1)

    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, {"w": p}, make("__main__"))
    ckpt.restore({"w": p}, make("package.train"))
    with pytest.raises(ValueError, match="stored by __main__.Own, wanted by torch.optim.SGD"):
        ckpt.restore({"w": p}, torch.optim.SGD([p], lr=0.1))


def unfrozen(model):
    """The last layer's optimizer, which got the first layer as a group of its own later."""
    optimizer = torch.optim.AdamW(model[3].parameters(), lr=0.5)
    optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.25})
    train(model, optimizer, 1)
    return optimizer


def test_a_group_that_was_added_later(tmp_path):
    model = make_model(1)
    optimizer = unfrozen(model)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model, optimizer)
    for part, lr in ((3, 0.5), (0, 0.25)):
        fresh = torch.optim.AdamW(model[part].parameters())
        with pytest.raises(ValueError, match="stored 2, wanted 1(.|\n)*or strict=False"):
            ckpt.restore(model, fresh)
        assert not fresh.state
        ckpt.restore(model, fresh, strict=False)
        assert fresh.param_groups[0]["lr"] == lr
        assert len(fresh.state) == 2
    # Parameters of two groups have no one group's options.
    fresh = torch.optim.AdamW([*model[0].parameters(), *model[3].parameters()], lr=0.125)
    with pytest.warns(RuntimeWarning, match="no values for optimizer.param_groups.0; left"):
        ckpt.restore(model, fresh, strict=False)
    assert fresh.param_groups[0]["lr"] == 0.125 and len(fresh.state) == 4


def test_groups_in_another_order_keep_their_options(tmp_path):
    model = make_model(1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model, unfrozen(model))
    fresh = torch.optim.AdamW([{"params": model[i].parameters()} for i in (0, 3)])
    with pytest.raises(ValueError, match="param_groups.0.0.weight: wanted"):
        ckpt.restore(model, fresh)
    ckpt.restore(model, fresh, strict=False)
    assert [group["lr"] for group in fresh.param_groups] == [0.25, 0.5]


@pytest.mark.parametrize("strict", [True, False])
def test_without_names_strict_is_no_way_out(tmp_path, strict):
    model = make_model(1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, optimizer=unfrozen(model))
    fresh = torch.optim.AdamW(model[3].parameters())
    with pytest.raises(ValueError, match="told by their order.*add_param_group") as error:
        ckpt.restore(optimizer=fresh, strict=strict)
    assert "strict=False" not in str(error.value)


class Wrapped(torch.nn.Module):
    """As DistributedDataParallel does."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("wrap", "name"), [(Wrapped, "module"), (compiled, "_orig_mod")], ids=["module", "_orig_mod"]
)
def test_the_prefix_of_a_wrapper_is_named(tmp_path, wrap, name, strict):
    model = make_model(1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, wrap(model), adamw(model)).wait()
    other = make_model(2)
    match = rf"stored names have '{name}' in them(.|\n)*model=\{{'{name}': model\}}"
    with pytest.raises(ValueError, match=match) as error:
        ckpt.restore(other, adamw(other), strict=strict)
    assert "strict=False" not in str(error.value)
    assert ckpt.restore({name: other}, adamw(other)) == 1  # what it says
    assert model_bits(other) == model_bits(model)

    ckpt.save(2, model, adamw(model)).wait()
    match = rf"what was passed have '{name}' in them(.|\n)*model\.{name}"
    with pytest.raises(ValueError, match=match) as error:
        ckpt.restore(wrap(make_model(2)), strict=strict)


def test_nothing_in_common_is_a_problem_without_strict_too(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, {"a": torch.ones(1)}).wait()
    with pytest.raises(ValueError, match="nothing of what was passed is stored"):
        ckpt.restore({"b": torch.ones(1)}, strict=False)


p = torch.nn.Parameter(torch.ones(1))
sgd = torch.optim.SGD([p], lr=0.1)


class Holder:
    optimizer = sgd


NO_OPTIMIZERS = {
    "text": ("adam", "optimizer is a str"),
    "class": (torch.optim.AdamW, r"the class AdamW.*AdamW\(model.parameters\(\)\)"),
    "class in a list": ([torch.optim.AdamW], r"optimizer\[0\] is the class AdamW"),
    "module": (torch.nn.Linear(1, 1), "Linear.*pass modules as `model`"),
    "scheduler": (torch.optim.lr_scheduler.StepLR(sgd, 1), "StepLR.*pass it in `extra`"),
    "scheduler in a dict": (
        {"a": torch.optim.lr_scheduler.StepLR(sgd, 1)},
        r"optimizer\['a'\] is a .*StepLR.*pass it in `extra`",
    ),
    "state dict": (sgd.state_dict(), "a state dict.*pass the optimizer itself"),
    "wrapper": (Holder(), r"Holder.*pass the optimizer in it, `.optimizer`"),
    "set": ({sgd}, "a set.*pass a list"),
    "generator": ((each for each in [sgd]), "a generator.*used up.*pass a list"),
    "tensors": ([p], r"optimizer\[0\] is a torch.nn.parameter.Parameter"),
    "number": (3, "optimizer is a int.*pass a torch.optim.Optimizer"),
}


@pytest.mark.parametrize("kind", NO_OPTIMIZERS)
def test_what_is_no_optimizer_is_named(tmp_path, kind):
    found, match = NO_OPTIMIZERS[kind]
    ckpt = Checkpointer(tmp_path)
    for call in (lambda: ckpt.save(1, optimizer=found), lambda: ckpt.restore(optimizer=found)):
        with pytest.raises(TypeError, match=match) as error:
            call()
        assert "no torch.optim.Optimizer" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_what_not_strict_leaves_out_is_told(tmp_path):
    model = make_model(1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model, {"a": adamw(model[0])})
    optimizers = {"a": torch.optim.AdamW(model.parameters()), "b": adamw(model)}
    with pytest.warns(RuntimeWarning) as caught:
        ckpt.restore(model, optimizers, strict=False)
    (message,) = {str(each.message) for each in caught}
    assert "optimizer.b" in message and "optimizer.a.state.3.weight" in message
    assert "model." not in message and "a.state.0.weight" not in message
