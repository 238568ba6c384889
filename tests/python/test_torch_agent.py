"""The agent: what Checkpointer(engine="agent") promises when processes die."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch_training import make_model
from waiting import eventually

import bitsnap
from bitsnap.torch import Checkpointer

COUNT = 1_000_000


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory, monkeypatch):
    """Sockets in a folder of the test's own; its agents are ended with it."""
    folder = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    for agent in agents_of(folder):
        os.kill(agent, signal.SIGKILL)


def agents_of(runtime):
    """Processes of agents started with this runtime folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[1:2] == [b"agent"] and f"XDG_RUNTIME_DIR={runtime}".encode() in environment:
            found.append(int(folder.name))
    return found


def state(step, count=COUNT):
    generator = torch.Generator().manual_seed(step)
    return {"w": torch.randn(count, generator=generator)}


PREAMBLE = """
import os, signal, sys, time, torch
from bitsnap.torch import Checkpointer
def state(step, count):
    return {"w": torch.randn(count, generator=torch.Generator().manual_seed(step))}
"""


def run(script, *arguments, **options):
    command = [sys.executable, "-c", PREAMBLE + script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_a_run_that_ends_well_leaves_nothing(tmp_path, runtime):
    with Checkpointer(tmp_path / "store", engine="agent") as ckpt:
        assert ckpt.restore(model=state(0)) is None
        save = ckpt.save(1, model=state(1), extra={"a": 1})
        assert save.result().step == 1
        assert len(agents_of(runtime)) == 1
    assert eventually(lambda: not agents_of(runtime))
    assert not list(runtime.iterdir())
    model = state(0)
    with Checkpointer(tmp_path / "store") as ckpt:
        assert ckpt.restore(model=model) == 1 and ckpt.restored_from == "disk"
    assert torch.equal(model["w"], state(1)["w"])


KILLED = """
ckpt = Checkpointer(sys.argv[1], engine="agent")
for step in range(1, 4):
    ckpt.save(step, model=state(step, int(sys.argv[2])), extra=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_goes_on_from_memory(tmp_path, runtime):
    assert run(KILLED, tmp_path, COUNT).returncode == -signal.SIGKILL
    model = state(0)
    with Checkpointer(tmp_path, engine="agent") as ckpt:
        assert ckpt.restore(model=model) == 3
        assert ckpt.restored_from == "memory" and ckpt.extra == 3
        assert torch.equal(model["w"], state(3)["w"])
        ckpt.save(4, model=state(4)).wait()
    assert [s.step for s in bitsnap.Store(tmp_path).list() if s.whole] == [1, 2, 3, 4]
    assert eventually(lambda: not agents_of(runtime))


def test_what_was_handed_over_is_saved_without_anybody(tmp_path, runtime):
    script = KILLED.replace('engine="agent"', 'engine="agent", agent_linger=0')
    assert run(script, tmp_path, COUNT).returncode == -signal.SIGKILL
    assert eventually(lambda: not agents_of(runtime))
    assert [s.step for s in bitsnap.Store(tmp_path).list() if s.whole] == [1, 2, 3]
    assert not list(runtime.iterdir())


@pytest.mark.parametrize("end", ["", "raise RuntimeError('boom')", "sys.exit(3)"])
def test_without_close_memory_stays(tmp_path, end):
    script = f"""
ckpt = Checkpointer(sys.argv[1], engine="agent")
ckpt.save(1, model=state(1, 1000))
{end}
"""
    run(script, tmp_path)
    with Checkpointer(tmp_path, engine="agent") as ckpt:
        assert ckpt.restore(model=state(0, 1000)) == 1 and ckpt.restored_from == "memory"


def test_leaving_by_an_exception_keeps_memory_and_returning_drops_it(tmp_path, runtime):
    with pytest.raises(KeyError), Checkpointer(tmp_path, engine="agent") as ckpt:
        ckpt.save(1, model=state(1))
        raise KeyError
    with Checkpointer(tmp_path, engine="agent") as ckpt:
        assert ckpt.restore(model=state(0)) == 1 and ckpt.restored_from == "memory"
    assert eventually(lambda: not agents_of(runtime))


def test_an_agent_that_is_killed_costs_nothing_but_a_warning(tmp_path, runtime):
    ckpt = Checkpointer(tmp_path, engine="agent")
    saves = [ckpt.save(step, model=state(step, 4 * COUNT)) for step in (1, 2)]
    (first,) = agents_of(runtime)
    os.kill(first, signal.SIGKILL)
    for save in saves:
        save.wait()
    with pytest.warns(RuntimeWarning, match="agent of .* is gone"):
        ckpt.save(3, model=state(3)).wait()
    (second,) = agents_of(runtime)
    assert second != first
    ckpt.close()
    for step in (1, 2):
        model = state(0, 4 * COUNT)
        assert ckpt.restore(model=model, step=step) == step
        assert torch.equal(model["w"], state(step, 4 * COUNT)["w"])


def test_a_store_that_was_removed_is_forgotten(tmp_path):
    for remove in ("rm -r {0}", "rm -r {0}/*"):
        store = tmp_path / "store"
        run("ckpt = Checkpointer(sys.argv[1], engine='agent'); ckpt.save(9, model=state(9, 10))", store)
        subprocess.run(remove.format(store), shell=True, check=True)
        with Checkpointer(store, engine="agent") as ckpt:
            assert ckpt.restore(model=state(0, 10)) is None
            ckpt.save(1, model=state(1, 10)).wait()


def test_a_step_handed_over_by_a_dead_run_is_not_saved_twice(tmp_path):
    assert run(KILLED, tmp_path, 4 * COUNT).returncode == -signal.SIGKILL
    with Checkpointer(tmp_path, engine="agent") as ckpt:
        with pytest.raises(FileExistsError):
            ckpt.save(3, model=state(3, 4 * COUNT))


def test_a_shared_agent_that_cannot_be_started(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 100)))
    os.mkdir(tmp_path / ("x" * 100))
    with pytest.raises(bitsnap.BitSnapError, match="XDG_RUNTIME_DIR"):
        Checkpointer(tmp_path / "a", engine="agent").save(1, model=make_model(1))


@pytest.mark.parametrize("round", range(6))
def test_killed_at_any_instant_the_newest_state_comes_back(tmp_path, runtime, round):
    """Trainer, agent or both; what was said to be handed over comes back unless both died."""
    script = """
ckpt = Checkpointer(sys.argv[1], engine="agent")
for step in range(1, 1000):
    ckpt.save(step, model=state(step, int(sys.argv[2])))
    print(step, ckpt.last_durable_step or 0, flush=True)
"""
    command = [sys.executable, "-c", PREAMBLE + script, str(tmp_path), str(COUNT // 4)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline()]
    time.sleep(random.Random(round).uniform(0, 0.5))
    victims = [process.pid] if round % 3 else agents_of(runtime) + [process.pid]
    if round % 3 == 2:  # the agent first, the trainer soon after
        victims = agents_of(runtime) + [process.pid]
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    handed, durable = map(int, lines[-1].split())
    model = state(0, COUNT // 4)
    with Checkpointer(tmp_path, engine="agent") as ckpt:
        step = ckpt.restore(model=model) or 0
        if len(victims) == 1:
            assert step >= handed and ckpt.restored_from == "memory"
        assert step >= durable
        if step:
            assert torch.equal(model["w"], state(step, COUNT // 4)["w"])
            ckpt.save(step + 1, model=model)
    assert eventually(lambda: not agents_of(runtime))
    assert not [p for p in tmp_path.rglob(".*tmp*") if f"{step + 1:08}" in str(p)]
