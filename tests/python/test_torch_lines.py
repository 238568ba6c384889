"""Lines of descent: after a durable save a restart finds that save, whatever was there before."""

import warnings
from pathlib import Path

import pytest
import torch
from rank_processes import run_ranks

import bitsnap
from bitsnap.torch import Checkpointer

pytestmark = pytest.mark.filterwarnings("ignore:bitsnap:RuntimeWarning")


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))


@pytest.fixture(params=["thread", "sync", "agent"])
def engine(request):
    return request.param


def state(value):
    return {"w": torch.full((300,), float(value))}


def save(ckpt, *steps, offset=0):
    """Each is durable when it returns, and what a restart finds."""
    for step in steps:
        ckpt.save(step, model=state(offset + step)).result()
        assert newest(ckpt.store.directory) == (step, offset + step)


def newest(path):
    target = state(0)
    ckpt = Checkpointer(path, engine="sync")
    return ckpt.restore(model=target), target["w"][0].item()


def listed(ckpt):
    """The whole steps, those of the line and those left behind."""
    infos = [info for info in ckpt.store.list() if info.whole]
    return [[i.step for i in infos if i.abandoned is behind] for behind in (False, True)]


def flip(ckpt, step, at):
    file = ckpt.store.directory / f"step-{step:08}" / "rank-00000-of-00001.bsnap"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def test_going_back_keeps_what_is_saved_then(tmp_path, engine):
    with Checkpointer(tmp_path, engine=engine, keep_last=3) as ckpt:
        save(ckpt, *range(10, 101, 10))
    with Checkpointer(tmp_path, engine=engine, keep_last=3) as ckpt:
        assert ckpt.restore(model=state(0), step=80) == 80
        with pytest.warns(RuntimeWarning, match="leaves steps 90, 100 behind"):
            ckpt.save(85, model=state(1085)).result()
        save(ckpt, 88, 90, offset=1000)  # 90 was left behind
        assert listed(ckpt) == [[85, 88, 90], [100]]
        save(ckpt, 95, offset=1000)
    with Checkpointer(tmp_path, engine=engine, keep_last=1, drop_abandoned=True) as ckpt:
        assert ckpt.restore(model=state(0)) == 95
        save(ckpt, 97, 99, offset=1000)
        assert listed(ckpt) == [[99], []]


@pytest.mark.parametrize("keep", [1, 2])
def test_falling_back_keeps_what_is_saved_then(tmp_path, engine, keep):
    with Checkpointer(tmp_path, engine=engine) as ckpt:
        save(ckpt, 100, 200, 300)
    flip(ckpt, 300, 200)
    with Checkpointer(tmp_path, engine=engine, keep_last=keep) as ckpt:
        assert ckpt.restore(model=state(0)) == 200
        save(ckpt, 210, offset=1000)
        assert 200 in listed(ckpt)[0]  # what the run stood on until then
        save(ckpt, 220, 300, 310, offset=1000)
        assert len(listed(ckpt)[0]) == keep


@pytest.mark.parametrize("at", [200, -30])
def test_damage_of_the_new_run_leads_to_the_common_ancestor(tmp_path, at):
    with Checkpointer(tmp_path) as ckpt:
        save(ckpt, 100, 200, 300)
        ckpt.restore(model=state(0), step=200)
        save(ckpt, 210, offset=1000)
    flip(ckpt, 210, at)
    assert newest(tmp_path) == (200, 200)
    with Checkpointer(tmp_path, keep_last=1) as ckpt:
        assert ckpt.restore(model=state(0)) == 200
        save(ckpt, 205, 210, offset=2000)
        assert newest(tmp_path) == (210, 2210)
        assert ckpt.restore(model=state(0), step=300) == 300
        save(ckpt, 310, offset=3000)  # the line again
        assert listed(ckpt)[0] == [300, 310] or listed(ckpt)[0] == [310]


def test_a_fresh_run_in_an_old_directory(tmp_path, engine):
    with Checkpointer(tmp_path, engine=engine, keep_last=2) as ckpt:
        save(ckpt, 500, 600, 700)
    with Checkpointer(tmp_path, engine=engine, keep_last=2) as ckpt:
        save(ckpt, 100, 200, 300, offset=-1000)
        assert listed(ckpt) == [[200, 300], [600, 700]]
    with Checkpointer(tmp_path, engine=engine, keep_last=2) as ckpt:
        save(ckpt, 400, offset=-1000)  # goes on: who knows how it was loaded
        assert listed(ckpt)[0] == [300, 400]
    for step in (300, 400):
        flip(ckpt, step, 200)
    with pytest.raises(bitsnap.Corrupt, match="none of its"):
        newest(tmp_path)


def test_a_lower_step_without_restoring_is_another_run(tmp_path):
    with Checkpointer(tmp_path, keep_last=2) as ckpt:
        save(ckpt, 10, 20, 30)
        save(ckpt, 25, offset=1000)
        assert listed(ckpt) == [[20, 25], [30]]
        with pytest.raises(bitsnap.AlreadyExists):
            ckpt.save(20, model=state(0)).result()


def test_an_agents_memory_of_an_abandoned_run_is_not_the_newest(tmp_path):
    agent = Checkpointer(tmp_path, engine="agent")
    save(agent, 80, 90, 100)
    del agent  # without close(): the agent remembers step 100
    with Checkpointer(tmp_path) as ckpt:
        ckpt.restore(model=state(0), step=90)
        save(ckpt, 95, offset=1000)
    with Checkpointer(tmp_path, engine="agent") as agent:
        target = state(0)
        assert agent.restore(model=target) == 95 and target["w"][0] == 1095
        assert agent.restored_from == "disk"


def test_an_agents_memory_of_the_new_run_is(tmp_path):
    agent = Checkpointer(tmp_path, engine="agent", keep_last=2)
    save(agent, 80, 90, 100)
    agent.restore(model=state(0), step=90)
    save(agent, 95, 97, offset=1000)
    del agent
    with Checkpointer(tmp_path, engine="agent") as agent:
        target = state(0)
        assert agent.restore(model=target) == 97 and target["w"][0] == 1097
        assert agent.restored_from == "memory"


def test_a_pruning_that_failed_is_told_by_the_next_call(tmp_path, engine):
    ckpt = Checkpointer(tmp_path, engine=engine, keep_last=1)
    save(ckpt, 1)
    broken = tmp_path / "step-00000001" / "rank-00001-of-00002.bsnap"
    (broken / "inner").mkdir(parents=True)
    pending = ckpt.save(2, model=state(2))
    with pytest.warns(RuntimeWarning, match="saved step 2 but could not prune"):
        ckpt.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ckpt.wait()
        pending.result()
    (broken / "inner").rmdir()
    broken.rmdir()
    ckpt.close()


def _two_ranks_go_back(rank, path, engine):
    def save_all(ckpt, *steps, offset=0):
        for step in steps:
            ckpt.save(step, model=state(offset + step + rank)).result()
        ckpt.save(steps[-1] + 1, model=state(offset + steps[-1] + 1 + rank)).result()

    warnings.simplefilter("ignore")
    ckpt = Checkpointer(path, engine=engine, keep_last=2)
    save_all(ckpt, 100, 200, 300)
    ckpt.close()
    ckpt = Checkpointer(path, engine=engine, keep_last=2)
    assert ckpt.restore(model=state(0), step=300) == 300
    save_all(ckpt, 250, 260, 301, offset=1000)
    ckpt.close()
    target = state(0)
    got = Checkpointer(path).restore(model=target)
    return got, target["w"][0].item()


@pytest.mark.parametrize("engine_of_two", ["thread", "sync"])
def test_two_ranks_go_back(tmp_path, engine_of_two):
    outcomes = run_ranks(2, _two_ranks_go_back, str(tmp_path), engine_of_two)
    assert outcomes == [(302, 1302), (302, 1303)]
    steps = [info.step for info in bitsnap.Store(tmp_path).list() if not info.abandoned]
    assert 301 in steps and 302 in steps


def test_the_agent_prunes_a_directory_of_one_machine(tmp_path):
    from bitsnap.command import EXECUTABLE

    store = bitsnap.Store(tmp_path, create=True)
    (Path(tmp_path) / "PARTIAL").touch()
    saver = bitsnap._native.Saver(store, agent=EXECUTABLE)
    tensor = bitsnap.Tensor("w", "F32", (300,), bytes(1200))
    for step in (1, 2, 3):
        report = saver.save(
            [tensor], step, world_size=2, save_id=5, keep_last=1, whole_up_to=step - 1
        ).wait()
    assert [pruned.step for pruned in report.pruned.removed] == [1]
    saver.close()
