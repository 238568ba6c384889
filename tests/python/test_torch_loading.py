"""What modules and optimizers do when they load a state is done."""

import pytest
import torch
from torch.ao.quantization import FakeQuantize, PerChannelMinMaxObserver
from torch_training import make_model, model_bits, optimizer_bits, train

from bitsnap.torch import Checkpointer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Cached(torch.nn.Linear):
    """Keeps what it made of its weight until a state is loaded."""

    cache = None

    def __init__(self):
        super().__init__(3, 3)

    def forward(self, x):
        if self.cache is None:
            self.cache = self.weight.detach().clone()
        return x @ self.cache

    def drop(self, *_):
        self.cache = None


class DropsInPostHook(Cached):
    def __init__(self):
        super().__init__()
        self.register_load_state_dict_post_hook(Cached.drop)


class DropsInPreHook(Cached):
    def __init__(self):
        super().__init__()
        self.register_load_state_dict_pre_hook(Cached.drop)


class DropsWhereItDiffers(Cached):
    """Must see what comes beside what is there."""

    def _load_from_state_dict(self, state_dict, prefix, *arguments):
        if not torch.equal(state_dict[f"{prefix}weight"], self.weight):
            self.drop()
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class DropsInLoad(Cached):
    def load_state_dict(self, state_dict):
        self.drop()
        return super().load_state_dict(state_dict)


KINDS = [DropsInPostHook, DropsInPreHook, DropsWhereItDiffers, DropsInLoad]
PLACES = {
    "alone": lambda m: m,
    "in a dict": lambda m: {"net": m, "ema": torch.ones(2)},
    "nested": lambda m: torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(m)),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_depends_on_weights_is_renewed(tmp_path, kind, place, strict):
    if place == "nested" and kind is DropsInLoad:
        pytest.skip("torch calls load_state_dict() of the outermost module alone")
    saved, x = kind(), torch.ones(1, 3)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=PLACES[place](saved))
    fresh = kind()
    fresh(x)
    pointer = fresh.weight.data_ptr()
    ckpt.restore(model=PLACES[place](fresh), strict=strict)
    assert torch.equal(fresh(x), saved(x))
    assert model_bits(fresh) == model_bits(saved)
    assert fresh.weight.data_ptr() == pointer


def test_what_has_no_hooks_is_restored_in_place_beside_what_has(tmp_path):
    def make():
        return torch.nn.ModuleDict({"plain": make_model(1), "hooked": DropsInPostHook()})

    saved, fresh = make(), make()
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=saved)
    pointers = [tensor.data_ptr() for tensor in fresh.state_dict().values()]
    ckpt.restore(model=fresh)
    assert model_bits(fresh) == model_bits(saved)
    assert [tensor.data_ptr() for tensor in fresh.state_dict().values()] == pointers


def test_buffers_that_loading_resizes(tmp_path):
    def make():
        return torch.nn.Sequential(
            torch.nn.Linear(3, 3),
            FakeQuantize(
                PerChannelMinMaxObserver, quant_min=-128, quant_max=127, dtype=torch.qint8,
                qscheme=torch.per_channel_symmetric, ch_axis=0,
            ),
        )  # fmt: skip

    saved, fresh = make(), make()
    saved[1](torch.randn(4, 3))
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=saved)
    ckpt.restore(model=fresh)
    assert len(fresh[1].scale) == 4
    assert model_bits(fresh) == model_bits(saved)


def test_modules_that_are_not_initialised(tmp_path):
    saved = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
    fresh = torch.nn.Sequential(torch.nn.LazyLinear(5), torch.nn.Linear(5, 2))
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=saved)
    ckpt.restore(model=fresh)
    assert model_bits(fresh) == model_bits(saved)


class Packed(torch.nn.Module):
    """Its state_dict() holds its weight in another form, under another name."""

    def __init__(self, fill):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((4,), float(fill)))

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[f"{prefix}packed"] = self.weight.detach() * 2

    def _load_from_state_dict(self, state_dict, prefix, *arguments):
        with torch.no_grad():
            self.weight.copy_(state_dict[f"{prefix}packed"] / 2)


def test_a_form_of_their_own(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=torch.nn.Sequential(Packed(3)))
    fresh = torch.nn.Sequential(Packed(1))
    ckpt.restore(model=fresh)
    assert fresh[0].weight.tolist() == [3] * 4


class Renamed(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 2, bias=False)
        self.register_load_state_dict_pre_hook(self._rename)

    @staticmethod
    def _rename(module, state_dict, prefix, *_):
        if f"{prefix}kernel" in state_dict:
            state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}kernel")


def test_hooks_that_rename(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={"net": torch.nn.ParameterDict({"kernel": torch.ones(2, 2)})})
    fresh = Renamed()
    ckpt.restore(model={"net": fresh})
    assert fresh.weight.eq(1).all()


class Versioned(torch.nn.Linear):
    _version = 2
    loaded = None

    def _load_from_state_dict(self, state_dict, prefix, metadata, *arguments):
        self.loaded = metadata.get("version")
        super()._load_from_state_dict(state_dict, prefix, metadata, *arguments)


class NextVersion(Versioned):
    _version = 3


def test_the_version_that_was_saved_is_told(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=torch.nn.Sequential(Versioned(2, 2)))
    fresh = torch.nn.Sequential(NextVersion(2, 2))
    ckpt.restore(model=fresh)
    assert fresh[0].loaded == 2


def add_a_key(module, state, prefix, metadata):
    state[f"{prefix}added"] = torch.ones(2)


def test_keys_that_loading_does_not_take(tmp_path):
    def make(seed):
        model = make_model(seed)
        model.register_state_dict_post_hook(add_a_key)
        return model

    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=make(1))
    fresh = make(2)
    before = model_bits(fresh)
    with pytest.raises(ValueError, match="model.added: .*nothing in it loads it"):
        ckpt.restore(model=fresh)
    assert model_bits(fresh) == before
    with pytest.warns(RuntimeWarning, match="model.added: .*left out"):
        ckpt.restore(model=fresh, strict=False)
    assert model_bits(fresh) == model_bits(make(1))


def test_an_extra_state_that_nobody_sets(tmp_path):
    class OnlyGets(torch.nn.Linear):
        def get_extra_state(self):
            return {"count": 1}

    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=OnlyGets(2, 2))
    with pytest.raises(ValueError, match="model._extra_state: .*nothing in it loads it"):
        ckpt.restore(model=OnlyGets(2, 2))


def test_keys_that_a_loading_of_its_own_does_not_take(tmp_path):
    class Picky(Cached):
        def __init__(self):
            super().__init__()
            self.register_state_dict_post_hook(add_a_key)
            self.register_load_state_dict_post_hook(Cached.drop)

    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={"net": Picky()})
    with pytest.raises(ValueError, match="model.net.added: Picky.load_state_dict.. did not take"):
        ckpt.restore(model={"net": Picky()})
    with pytest.warns(RuntimeWarning, match="model.net.added: Picky"):
        ckpt.restore(model={"net": Picky()}, strict=False)


def test_mismatches_are_found_before_hooks_run(tmp_path):
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model={"net": torch.nn.Linear(3, 4), "other": torch.ones(2)})
    fresh, other = DropsInPostHook(), torch.zeros(2)
    fresh(torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"model.net.weight: stored F32 \[4, 3\], wanted"):
        ckpt.restore(model={"net": fresh, "other": other})
    with pytest.raises(ValueError, match="model.net.weight: stored F32"):
        ckpt.restore(model={"net": Packed64(), "other": other})
    assert fresh.cache is not None and not other.any()


class Packed64(Packed):
    def __init__(self):
        super().__init__(0)
        self.weight = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[f"{prefix}weight"] = self.weight.detach()


def test_two_that_differ_do_not_go_into_one_tied_parameter(tmp_path):
    def make(tied):
        model = torch.nn.Sequential(DropsInPostHook(), torch.nn.Linear(3, 3))
        if tied:
            model[1].weight = model[0].weight
        return model

    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=make(tied=False))
    with pytest.raises(ValueError, match="model.0.weight and model.1.weight: lie in the same"):
        ckpt.restore(model=make(tied=True))
    saved, fresh = make(tied=True), make(tied=True)
    ckpt.save(2, model=saved)
    ckpt.restore(model=fresh)
    assert model_bits(fresh) == model_bits(saved) and fresh[0].weight is fresh[1].weight


# Optimizers


def trained(seed, kind=torch.optim.AdamW, steps=2, dtype=torch.float32):
    model = make_model(seed).to(dtype)
    optimizer = kind(model.parameters(), lr=0.01)
    train(model, optimizer, steps)
    return model, optimizer


@pytest.mark.parametrize("steps", [0, 2], ids=["into_fresh", "into_warm"])
def test_hooks_of_optimizers(tmp_path, steps):
    model, optimizer = trained(1)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model, optimizer=optimizer)
    other, fresh = trained(2, steps=steps)
    ran = []
    fresh.register_load_state_dict_pre_hook(lambda _, state: ran.append(len(state["state"])))
    fresh.register_load_state_dict_post_hook(lambda opt: ran.append(len(opt.state)))
    ckpt.restore(model=other, optimizer=fresh)
    assert ran == [len(optimizer.state)] * 2
    assert optimizer_bits(fresh) == optimizer_bits(optimizer)
    assert [id(p) for p in fresh.param_groups[0]["params"]] == [id(p) for p in other.parameters()]


class Own(torch.optim.AdamW):
    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.is_loaded = True


def test_a_loading_of_an_optimizers_own(tmp_path):
    model, optimizer = trained(1, Own)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model, optimizer=optimizer)
    other, fresh = trained(2, Own, steps=0)
    ckpt.restore(model=other, optimizer=fresh)
    assert fresh.is_loaded
    assert optimizer_bits(fresh) == optimizer_bits(optimizer)


def test_state_keeps_its_dtype_where_hooks_run(tmp_path):
    """torch's load_state_dict() casts it to the parameter's."""
    model, optimizer = trained(1, dtype=torch.bfloat16)
    for state in optimizer.state.values():
        state["exp_avg"] = torch.randn_like(state["exp_avg"], dtype=torch.float32)
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model, optimizer=optimizer)
    other, fresh = trained(2, dtype=torch.bfloat16, steps=0)
    fresh.register_load_state_dict_post_hook(lambda optimizer: None)
    ckpt.restore(model=other, optimizer=fresh)
    assert optimizer_bits(fresh) == optimizer_bits(optimizer)


def test_hooks_that_store_another_form(tmp_path):
    def scaled(by):
        def hook(optimizer, state_dict):
            states = state_dict["state"].items()
            state_dict["state"] = {
                i: {k: t * by if k == "exp_avg" else t for k, t in s.items()} for i, s in states
            }
            return state_dict

        return hook

    model, optimizer = trained(1)
    expected = optimizer_bits(optimizer)
    optimizer.register_state_dict_post_hook(scaled(2))
    ckpt = Checkpointer(tmp_path)
    ckpt.save(1, model=model, optimizer=optimizer)
    other, fresh = trained(2, steps=0)
    fresh.register_load_state_dict_pre_hook(scaled(0.5))
    ckpt.restore(model=other, optimizer=fresh)
    assert optimizer_bits(fresh) == expected


def test_what_is_not_stored_stays_where_an_optimizer_has_hooks(tmp_path):
    first, second = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)

    def optimizer_of(*modules):
        optimizer = torch.optim.AdamW([p for m in modules for p in m.parameters()])
        for module in modules:
            module(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return optimizer

    ckpt = Checkpointer(tmp_path)
    saved = optimizer_of(first)
    ckpt.save(1, model={"a": first}, optimizer=saved)
    larger = optimizer_of(first, second)
    larger.register_load_state_dict_post_hook(lambda optimizer: None)
    before = larger.state[second.weight]["exp_avg"].clone()
    ckpt.restore(model={"a": first, "b": second}, optimizer=larger, strict=False)
    assert torch.equal(larger.state[second.weight]["exp_avg"], before)
    assert torch.equal(
        larger.state[first.weight]["exp_avg"], saved.state[first.weight]["exp_avg"]
    )
