"""A short crash storm; `make soak` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

from command import BINARY

SOAK = Path(__file__).parents[2] / "scripts/soak"
sys.path.append(str(SOAK))
from account import Account  # noqa: E402
from command_storm import CommandStorm  # noqa: E402
import content  # noqa: E402
from leftovers import Broken  # noqa: E402


@pytest.mark.parametrize("ranks, kills", [(1, 25), (4, 12)])
def test_every_kill_of_a_command_leaves_a_store_that_restores(tmp_path, ranks, kills):
    storm = CommandStorm(tmp_path, ranks, seed=ranks, binary=BINARY)
    storm.run(kills)
    counts = storm.counts
    assert counts["kills"] >= kills and counts["durable"] > 0 and counts["repairs"] > 0
    assert any(what.startswith("damage") for what in counts)


# In a process of its own, which forks and must not have used torch before.
@pytest.mark.parametrize("engine", ["thread", "agent"])
@pytest.mark.parametrize("ranks, kills", [(1, 12), (4, 6)])
def test_every_kill_of_a_training_run_leaves_a_store_that_restores(engine, ranks, kills):
    options = map(str, ["--engine", engine, "--ranks", ranks, "--kills", kills, "--seed", ranks])
    done = subprocess.run([sys.executable, SOAK, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " kills" in done.stdout and "no promise broken" in done.stdout


@pytest.mark.parametrize("after", [0, 1])
def test_an_overwrite_that_is_killed_at_any_system_call_leaves_one_of_the_two(
    tmp_path, monkeypatch, after
):
    monkeypatch.setattr(content, "SLOW", 1000)
    storm = CommandStorm(tmp_path, 1, seed=1, binary=BINARY)
    for _ in range(2):  # the second one leans on the first
        storm.save_next(calm=True)
    storm.save([storm.account.attempt_below(1)], calm=True)  # its link keeps the old one
    for at in range(1, 100):
        newest = storm.account.floor
        tries = [storm.account.attempt(newest.step, newest.parent)]
        storm.save(tries, strike=f"{at} kill {after}")
        storm.check()
        if not storm.strikes.take():
            break
    assert at > 8 and storm.counts["kills"] == at - 1
    storm.repair()


def test_the_account_falls_back_on_its_own_line():
    account = Account()
    first = account.attempt(1, None)
    left_behind = account.attempt(2, first)
    account.reported(([first, left_behind], left_behind))
    newest = account.attempt(2, first)
    account.restored(left_behind.number, quiet=False)
    account.reported(([newest], newest))
    with pytest.raises(Broken, match=r"save 2 \(step 2\) came back instead of save 3"):
        account.restored(left_behind.number)
    assert account.fallback({1: first, 3: left_behind, 2: newest}, {newest}) is first
    account.damage({newest}, {1: first, 2: newest})
    account.restored(first.number)
    assert account.fallback({2: newest}) is None


def test_the_storm_on_commands_notices_what_is_wrong(tmp_path):
    """A lost save, something left over, and wrong content."""
    run = CommandStorm(tmp_path, 1, seed=1, binary=BINARY)
    run.save_next(calm=True)
    run.check()
    lost = run.account.attempt(2, run.account.floor)
    run.account.reported(([lost], lost))
    with pytest.raises(Broken, match=r"save 1 \(step 1\) came back instead of save 2"):
        run.check()
    run.account.allowed = [lost.parent]
    (run.store / "step-00000001/notes").write_text("")
    with pytest.raises(Broken, match="left over in step-00000001"):
        run.repair()
    tensors = content.content_of(7, 0)
    tensors["model.w"] = content.content_of(8, 0)["model.w"]
    content.write_safetensors(tmp_path / "wrong", tensors)
    subprocess.run([BINARY, "save", run.store, tmp_path / "wrong", "--step", "3"], check=True)
    with pytest.raises(Broken, match="step 3, rank 0: other bits"):
        run.check()


NOTICES = """
import sys
sys.path.append(sys.argv[1])
import training
from leftovers import Broken, check_names
from trainer_storm import TrainerStorm

def broken(work):
    try:
        work()
    except Broken as found:
        print(found)

storm = TrainerStorm(sys.argv[2], 1, 1, "thread")
storm.quiet_round()
floor = storm.account.floor
lost = storm.account.attempt(floor.step + 1, floor)
storm.account.reported(([lost], lost))
broken(storm.check)
broken(lambda: storm.go([storm.plan()]))
storm.account.allowed = [floor]
content_of = training.content_of
training.content_of = lambda number, rank: content_of(number, rank + 1)
broken(storm.check)
broken(lambda: storm.go([storm.plan()]))
(storm.store / "notes").write_text("")
broken(lambda: check_names(storm.store, 1, floor.step))
"""


def test_the_storm_on_training_runs_notices_what_is_wrong(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NOTICES, SOAK, tmp_path], capture_output=True, text=True
    )
    lost, restored, bits, restored_bits, left = done.stdout.splitlines()
    assert "came back instead of save" in lost
    assert "a trainer restored save" in restored and "instead of save" in restored
    assert "other bits came back" in bits
    assert "broken: rank 0 restored other bits" in restored_bits
    assert "left over in the store" in left
