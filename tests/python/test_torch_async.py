"""Saving in the background: what Checkpointer promises about it."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from test_cli_errors import mounted
from torch_training import make_model, model_bits
from waiting import eventually

import bitsnap
from bitsnap.torch import Checkpointer

COUNT = 4_000_000  # floats: long enough to be under way when looked at


def noise(seed):
    generator = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(COUNT, generator=generator)}


def test_tensors_may_change_as_soon_as_save_returns(tmp_path):
    state = {"w": torch.empty(200_000)}
    with Checkpointer(tmp_path, on_busy="wait") as ckpt:
        for step in range(1, 21):
            state["w"].copy_(torch.arange(200_000) * step)
            ckpt.save(step, model=state)
            state["w"].fill_(-1)
        for step in range(1, 21):
            ckpt.restore(model=state, step=step)
            assert torch.equal(state["w"], torch.arange(200_000) * float(step))


@pytest.mark.parametrize("engine", ["thread", "sync"])
def test_what_a_save_says(tmp_path, engine):
    state = noise(1)
    with Checkpointer(tmp_path, engine=engine) as ckpt:
        assert ckpt.last_durable_step is None
        save = ckpt.save(5, model=state)
        assert (save.step, save.skipped, save.waited_seconds) == (5, False, 0)
        save.wait()
        report = save.result()
        assert (report.step, report.raw_bytes) == (5, 4 * COUNT)
        assert save.stored_bytes == report.stored_bytes and save.ratio == report.ratio
        with pytest.raises(AttributeError, match="no attribute 'bytes_stored'"):
            save.bytes_stored  # noqa: B018
        assert save.done() and save.progress == (4 * COUNT, 4 * COUNT)
        assert 0 < save.blocked_seconds <= save.seconds_until_durable
        assert ckpt.last_durable_step == 5
        assert repr(save) == "<PendingSave of step 5: finished>"


def saves_until(happened, ckpt):
    """Saves, each at once after the one before, until `happened` with one: it must some time."""
    state, saves = noise(0), []
    while not saves or not happened(saves[-1]):
        assert len(saves) < 500
        saves.append(ckpt.save(len(saves), model=state))
    return saves


def test_at_the_bound(tmp_path):
    bound = 4 * COUNT + 2**20  # one copy
    with Checkpointer(tmp_path / "skip", max_memory=bound, on_busy="skip") as ckpt:
        saves = saves_until(lambda save: save.skipped, ckpt)
        assert len(saves) > 1
        for save in saves:
            assert (save.result() is None) == save.skipped
        whole = [step.step for step in ckpt.store.list() if step.whole]
        assert whole == [save.step for save in saves if not save.skipped]
    with Checkpointer(tmp_path / "error", max_memory=bound, on_busy="error") as ckpt:
        with pytest.raises(bitsnap.Busy, match="raise max_memory"):
            saves_until(lambda save: False, ckpt)
    with Checkpointer(tmp_path / "wait", max_memory=bound) as ckpt:
        assert len(saves_until(lambda save: save.waited_seconds > 0, ckpt)) > 1
    with Checkpointer(tmp_path / "small", max_memory=1000) as ckpt:
        with pytest.raises(ValueError, match="more than max_memory"):
            ckpt.save(1, model=noise(0))


def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) * 1024


def test_prepared_memory_is_there_before_the_first_save(tmp_path):
    state = noise(1)
    with Checkpointer(tmp_path) as ckpt:
        before = resident()
        ckpt.prepare(model=state)
        assert eventually(lambda: resident() > before + 3.9 * COUNT)
        ckpt.save(1, model=state)
        with pytest.raises(TypeError, match="writes no pickles"):
            ckpt.prepare(model=state, extra=object())
    with pytest.raises(bitsnap.InvalidArgument, match="closed"):
        ckpt.prepare(model=state)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_what_is_prepared_is_what_the_first_save_takes(tmp_path, monkeypatch, amsgrad):
    """Before the first step, of tied weights, of a frozen one, and of what is in `extra`."""
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(333, 77), "b": torch.nn.Linear(333, 77)})
    model["b"].weight = model["a"].weight
    frozen = torch.nn.Parameter(torch.zeros(1000), requires_grad=False)
    optimizer = torch.optim.AdamW([*model.parameters(), frozen], amsgrad=amsgrad)
    state = {"model": model, "optimizer": optimizer, "extra": {"x": torch.ones(100), "y": [1]}}
    with Checkpointer(tmp_path / "a") as ckpt:
        prepared = []
        monkeypatch.setattr(ckpt._engine, "prepare", prepared.append)
        ckpt.prepare(**state)
    (model["a"](torch.ones(333)) + model["b"](torch.ones(333))).sum().backward()
    optimizer.step()
    page = os.sysconf("SC_PAGESIZE")
    pages = -(-prepared[0] // page)
    with Checkpointer(tmp_path / "b", max_memory=pages * page) as ckpt:
        ckpt.save(1, **state)
    with Checkpointer(tmp_path / "c", max_memory=pages * page - 1) as ckpt:
        with pytest.raises(ValueError, match="more than max_memory"):
            ckpt.save(1, **state)


@pytest.mark.parametrize("engine", ["thread", "sync", "agent"])
def test_preparing_changes_nothing_else(tmp_path, engine):
    model = make_model(1)
    with Checkpointer(tmp_path, engine=engine) as ckpt:
        ckpt.prepare(model=make_model(2))
        ckpt.prepare(model=model)
        ckpt.save(1, model=model)
        assert ckpt.restore(model=make_model(3)) == 1


def test_a_step_under_way_is_not_saved_twice(tmp_path):
    with Checkpointer(tmp_path) as ckpt:
        ckpt.save(1, model=noise(1))
        with pytest.raises(FileExistsError):
            ckpt.save(1, model=noise(2))


def fail_in_the_background(ckpt, store):
    """A save of step 2 that finds a file where its folder would be."""
    held = ckpt.save(1, model=noise(1))  # keeps step 2 in the queue
    save = ckpt.save(2, model=make_model(2))
    (store / "step-00000002").write_text("in the way")
    held.wait()
    while not save.done():
        time.sleep(0.001)
    return save


NEXT_CALLS = {
    "wait": lambda ckpt: ckpt.wait(),
    "close": lambda ckpt: ckpt.close(),
    "save": lambda ckpt: ckpt.save(3, model=make_model(3)),
}


@pytest.mark.parametrize("call", NEXT_CALLS)
def test_a_failure_comes_once_with_the_next_call(tmp_path, call):
    ckpt = Checkpointer(tmp_path)
    fail_in_the_background(ckpt, tmp_path)
    with pytest.raises(bitsnap.BitSnapError, match="step 2 could not be saved in the background"):
        NEXT_CALLS[call](ckpt)
    ckpt.wait()
    assert ckpt.last_durable_step == 1


def test_a_failure_comes_with_result(tmp_path):
    ckpt = Checkpointer(tmp_path)
    save = fail_in_the_background(ckpt, tmp_path)
    with pytest.raises(bitsnap.BitSnapError, match="step-00000002"):
        save.result()
    assert save.seconds_until_durable is None
    ckpt.wait()


def test_a_failure_does_not_keep_restore_from_what_is_there(tmp_path):
    ckpt = Checkpointer(tmp_path)
    fail_in_the_background(ckpt, tmp_path)
    with pytest.warns(RuntimeWarning, match="step 2 could not be saved"):
        assert ckpt.restore(model={"w": torch.zeros(COUNT)}, step=1) == 1


def run(script, *arguments, **options):
    preamble = "import os, sys, signal, torch\nfrom bitsnap.torch import Checkpointer\n"
    command = [sys.executable, "-c", preamble + script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


ENDS = {
    "end": ("", 0),
    "exception": ("raise RuntimeError('boom')", 1),
    "exit": ("sys.exit(3)", 3),
    "interrupt": ("raise KeyboardInterrupt", -signal.SIGINT),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_interpreter_exits_only_when_all_is_saved(tmp_path, how):
    script = f"""
ckpt = Checkpointer(sys.argv[1])
for step in range(3):
    ckpt.save(step, model={{"w": torch.randn({COUNT})}})
{ENDS[how][0]}
"""
    done = run(script, tmp_path)
    assert done.returncode == ENDS[how][1], done.stderr
    assert [step.step for step in bitsnap.Store(tmp_path).list() if step.whole] == [0, 1, 2]


def test_a_failure_at_exit_is_said(tmp_path):
    script = f"""
ckpt = Checkpointer(sys.argv[1])
ckpt.save(1, model={{"w": torch.randn({COUNT})}})
ckpt.save(2, model={{"w": torch.randn(10)}})
open(sys.argv[1] + "/step-00000002", "w").close()
"""
    assert "step 2 could not be saved in the background" in run(script, tmp_path).stderr


def test_a_child_of_fork(tmp_path):
    script = f"""
ckpt = Checkpointer(sys.argv[1])
ckpt.save(1, model={{"w": torch.randn({COUNT})}})
if os.fork() == 0:
    try:
        ckpt.save(2, model={{}})
    except ValueError as error:
        print(error, flush=True)
    sys.exit()
os.wait()
ckpt.wait()
"""
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "does not survive fork" in done.stdout and not done.stderr
    assert [step.step for step in bitsnap.Store(tmp_path).list()] == [1]


def test_ctrl_c_ends_the_waiting_and_not_the_save(tmp_path):
    with Checkpointer(tmp_path) as ckpt:
        save = ckpt.save(1, model=noise(1))
        with pytest.raises(KeyboardInterrupt):
            while not save.done():
                os.kill(os.getpid(), signal.SIGINT)
                save.wait()
            raise KeyboardInterrupt  # it was quicker than the signal
    assert ckpt.last_durable_step == 1


def test_restore_waits_for_saves_under_way(tmp_path):
    ckpt = Checkpointer(tmp_path)
    model = make_model(1)
    ckpt.save(1, model=model, extra=noise(1))
    other = make_model(2)
    assert ckpt.restore(model=other) == 1
    assert model_bits(other) == model_bits(model)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"profile": "exakt"}, "use exact, fast, paper"),
        ({"engine": "fork"}, "use thread, agent, sync"),
        ({"engine": "sync", "on_busy": "drop"}, "unknown on_busy 'drop'"),
        ({"threads": -1}, "threads is -1"),
        ({"max_memory": 1.5e9}, "max_memory is 1500000000.0; pass a whole number"),
        ({"engine": "agent", "replicas": -1}, "replicas is -1"),
        ({"replicas": 1}, "replicas are held by agents"),
        ({"keep_last": 0}, "keep_last is 0; pass a whole number of at least 1"),
    ],
)
def test_wrong_settings(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        Checkpointer(tmp_path / "store", **settings)
    assert not (tmp_path / "store").exists()


def test_wrong_arguments(tmp_path):
    with Checkpointer(tmp_path) as ckpt:
        for none in (None, 2**64):
            with pytest.raises(ValueError, match=f"step is {none}; pass a whole number"):
                ckpt.save(none, model=make_model(1))
        with pytest.raises(ValueError, match="step is -1"):
            ckpt.save(-1, model=make_model(1))
        with pytest.raises(TypeError, match="model is a int; pass a module"):
            ckpt.save(1, model=3)
        with pytest.raises(TypeError, match="optimizer is a int, no torch.optim.Optimizer"):
            ckpt.save(1, optimizer=3)
        assert not ckpt.store.list()


def test_closed(tmp_path):
    with Checkpointer(tmp_path) as ckpt:
        ckpt.save(1, model=make_model(1))
    with pytest.raises(ValueError, match="closed"):
        ckpt.save(2, model=make_model(2))
    assert ckpt.restore(model=make_model(2)) == 1


def test_a_full_disk(tmp_path):
    with mounted(tmp_path / "small", "size=20m") as disk:
        ckpt = Checkpointer(disk / "store")
        ckpt.save(1, model=make_model(1)).wait()
        (disk / "filler").write_bytes(bytes(16 << 20))
        with pytest.raises(OSError, match="step-00000002.*[Nn]o space"):
            ckpt.save(2, model=noise(2)).wait()
        ckpt.save(3, model=make_model(3)).wait()  # smaller
        other = make_model(0)
        assert ckpt.restore(model=other) == 3
        assert model_bits(other) == model_bits(make_model(3))
        (disk / "filler").unlink()
        ckpt.save(4, model=noise(4))
        ckpt.close()
        assert ckpt.last_durable_step == 4
        assert not list((disk / "store").glob("*/.*"))  # the failed one took its file away
