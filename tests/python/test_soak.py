"""A short crash storm; `make soak` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

from command import BINARY

SOAK = Path(__file__).parents[2] / "scripts/soak"
sys.path.append(str(SOAK))
from command_storm import CommandStorm, content_of, write_safetensors  # noqa: E402
from leftovers import Broken  # noqa: E402


@pytest.mark.parametrize("ranks, kills", [(1, 25), (4, 15)])
def test_every_kill_of_a_command_leaves_a_store_that_restores(tmp_path, ranks, kills):
    storm = CommandStorm(tmp_path, ranks, seed=ranks, binary=BINARY)
    storm.run(kills)
    counts = storm.counts
    assert counts["kills"] == kills and counts["durable"] > 0 and counts["repairs"] > 0


# In a process of its own, which forks and must not have used torch before.
@pytest.mark.parametrize("engine", ["thread", "agent"])
@pytest.mark.parametrize("ranks, kills", [(1, 15), (4, 10)])
def test_every_kill_of_a_training_run_leaves_a_store_that_restores(engine, ranks, kills):
    options = map(str, ["--engine", engine, "--ranks", ranks, "--kills", kills, "--seed", ranks])
    done = subprocess.run([sys.executable, SOAK, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kills} kills" in done.stdout and "no promise broken" in done.stdout


def test_the_storm_on_commands_notices_what_is_wrong(tmp_path):
    """Wrong content, a lost step, and something left over."""
    run = CommandStorm(tmp_path, 1, seed=1, binary=BINARY)
    run.save(1, None)
    run.check()
    run.durable = 2
    with pytest.raises(Broken, match="step 2 was durable, 1 came back"):
        run.check()
    run.durable = 1
    (run.store / "step-00000001/notes").write_text("")
    with pytest.raises(Broken, match="left over in step-00000001"):
        run.repair()
    write_safetensors(tmp_path / "wrong", content_of(7, 0))
    assert run.start("save", run.store, tmp_path / "wrong", "--step", 3).wait() == 0
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
storm.durable += 1
broken(storm.check)
broken(lambda: storm.round(None))
storm.durable = 0
content_of = training.content_of
training.content_of = lambda step, rank: content_of(step + 1, rank)
broken(storm.check)
broken(lambda: storm.round(None))
(storm.store / "notes").write_text("")
broken(lambda: check_names(storm.store, 1))
"""


def test_the_storm_on_training_runs_notices_what_is_wrong(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NOTICES, SOAK, tmp_path], capture_output=True, text=True
    )
    lost, restored, bits, restored_bits, left = done.stdout.splitlines()
    assert "was durable" in lost and "came back" in lost
    assert "was durable, a trainer restored" in restored
    assert "other bits came back" in bits
    assert "broken: rank 0 restored other bits" in restored_bits
    assert "left over in the store" in left
