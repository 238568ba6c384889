"""How long save() holds up the training: all of it is told, and what saves share is made once."""

import time

import pytest
import torch
from torch_training import make_model, model_bits, optimizer_bits, train

from bitsnap.torch import Checkpointer

ENGINES = ("thread", "agent", "sync")


class Slow:
    """Its state takes so long to get."""

    SECONDS = 0.05

    def state_dict(self):
        end = time.perf_counter() + self.SECONDS
        while time.perf_counter() < end:
            pass
        return {"n": 1}

    def load_state_dict(self, state):
        pass


@pytest.mark.parametrize("engine", ENGINES)
def test_blocked_seconds_are_all_that_save_takes(tmp_path, engine):
    with Checkpointer(tmp_path, engine=engine) as ckpt:
        for step in (1, 2):
            start = time.perf_counter()
            save = ckpt.save(step, {"w": torch.ones(3)}, extra=[Slow(), Slow()])
            took = time.perf_counter() - start
            assert 2 * Slow.SECONDS <= save.blocked_seconds <= took
            save.wait()
            assert save.blocked_seconds <= save.seconds_until_durable


def test_a_save_that_replaces_a_passed_over_step_is_timed_as_a_whole(tmp_path):
    ckpt = Checkpointer(tmp_path, engine="sync")
    ckpt.save(1, {"w": torch.ones(3)})
    start = time.perf_counter()
    save = ckpt.save(1, {"w": torch.ones(3)}, extra=Slow(), overwrite=True)
    assert Slow.SECONDS <= save.blocked_seconds <= time.perf_counter() - start


MANY = 100_000


def many_in_a_dict():
    return {"model": {f"layers.{i}.weight": torch.full((4,), float(i)) for i in range(MANY)}}


def many_in_an_optimizer():
    model = torch.nn.ParameterList([torch.zeros(4) for _ in range(MANY // 4)])
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    for parameter in model:
        parameter.grad = torch.ones(4)
    optimizer.step()
    return {"model": model, "optimizer": optimizer}


@pytest.mark.parametrize("make", [many_in_a_dict, many_in_an_optimizer])
def test_many_tensors(tmp_path, make):
    """0.3 s is what a quiet machine may take; a busy one, or a slow one, gets four times that."""
    state = make()
    with Checkpointer(tmp_path, profile="fast", max_memory=1 << 30) as ckpt:
        ckpt.save(1, **state).wait()
        seconds = []
        for step in (2, 3, 4):
            start = time.thread_time()
            ckpt.save(step, **state).wait()
            seconds.append(time.thread_time() - start)
    assert min(seconds) < 1.2


class Changing:
    """A run of which each save looks unlike the last one in another way."""

    def __init__(self):
        self.model = make_model(1)
        self.parts = {"net": self.model, "a": torch.ones(2), "b": torch.zeros(2)}
        self.optimizer = torch.optim.AdamW(self.model[0].parameters(), lr=0.1)
        train(self.model, self.optimizer, 1)

    def nothing(self):
        pass

    def values(self):
        train(self.model, self.optimizer, 1)

    def shape(self):
        self.parts["a"] = torch.ones(1, 2)

    def dtype(self):
        self.parts["a"] = torch.ones(2, dtype=torch.float64)

    def same_bytes(self):
        self.parts["b"] = torch.zeros(1, dtype=torch.float64)

    def memory(self):
        self.parts["b"] = torch.full((2, 2), 7.0)[:, 1]

    def name(self):
        self.parts["c"] = self.parts.pop("a")

    def order(self):
        self.parts["b"] = self.parts.pop("b")

    def fewer(self):
        del self.parts["a"]

    def more(self):
        self.parts["d"] = torch.ones(5)

    def hyper_parameter(self):
        self.optimizer.param_groups[0]["lr"] = 0.25

    def type_of_hyper_parameter(self):
        self.optimizer.param_groups[0]["amsgrad"] = 0

    def group(self):
        self.optimizer.add_param_group({"params": self.model[3].parameters(), "lr": 0.5})
        train(self.model, self.optimizer, 1)

    def state_removed(self):
        del self.optimizer.state[self.model[0].weight]

    def state_added(self):
        self.optimizer.state[self.model[0].weight]["more"] = torch.ones(3)

    def state_renamed(self):
        state = self.optimizer.state[self.model[0].weight]
        state[0] = state.pop("exp_avg")

    def state_of_another_dtype(self):
        state = self.optimizer.state[self.model[0].weight]
        state["exp_avg"] = state["exp_avg"].double()

    def state_of_another_shape(self):
        self.optimizer.state[self.model[0].weight]["exp_avg"] = torch.ones(1)

    def state_no_tensor(self):
        self.optimizer.state[self.model[0].weight]["exp_avg"] = 3

    def state_in_another_order(self):
        state = self.optimizer.state[self.model[0].weight]
        state["step"] = state.pop("step")

    def kind(self):
        self.optimizer = torch.optim.SGD(self.model[0].parameters(), lr=0.1, momentum=0.5)
        train(self.model, self.optimizer, 1)

    def master(self):
        masters = [p.detach().clone() for p in self.model.parameters()]
        self.optimizer = torch.optim.SGD(masters, lr=0.1)


CHANGES = [name for name in vars(Changing) if not name.startswith("_")]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_kept_between_saves_is_never_out_of_date(tmp_path, change):
    """The save of a Checkpointer that saved before is the one of a new one, to the byte."""
    run = Changing()
    kept = Checkpointer(tmp_path / "kept")
    new = Checkpointer(tmp_path / "new")
    kept.save(1, run.parts, run.optimizer).wait()
    getattr(run, change)()
    for ckpt in (kept, new):
        ckpt.save(2, run.parts, run.optimizer).wait()
    steps = [ckpt.store.open_step(2) for ckpt in (kept, new)]
    assert steps[0].metadata == steps[1].metadata
    looks = [[(t.name, t.dtype, t.shape, t.role, t.group) for t in s.tensors] for s in steps]
    assert looks[0] == looks[1]
    before = model_bits(run.model), optimizer_bits(run.optimizer)
    for tensor in run.parts.values():
        if isinstance(tensor, torch.Tensor):
            tensor.fill_(9)
    kept.restore(run.parts, run.optimizer)
    assert (model_bits(run.model), optimizer_bits(run.optimizer)) == before
    assert not any((t == 9).any() for t in run.parts.values() if isinstance(t, torch.Tensor))
