"""A short crash storm; `make soak` is the long one."""

import sys
from pathlib import Path

import pytest

from command import BINARY

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
import soak  # noqa: E402


@pytest.mark.parametrize("ranks, kills", [(1, 25), (4, 15)])
def test_every_kill_leaves_a_store_that_restores(ranks, kills):
    counts = soak.storm(kills, ranks, seed=ranks, binary=BINARY)
    assert counts["kills"] == kills and counts["durable"] > 0 and counts["repairs"] > 0


def test_the_storm_notices_what_is_wrong(tmp_path):
    """Wrong content, a lost step, and something left over."""
    run = soak.Storm(tmp_path, 1, seed=1, binary=BINARY)
    run.save(1, None)
    run.check()
    run.durable = 2
    with pytest.raises(soak.Broken, match="step 2 was durable, 1 came back"):
        run.check()
    run.durable = 1
    (run.store / "step-00000001/notes").write_text("")
    with pytest.raises(soak.Broken, match="left over in step-00000001"):
        run.repair()
    soak.write_safetensors(tmp_path / "wrong", soak.content_of(7, 0))
    assert run.start("save", run.store, tmp_path / "wrong", "--step", 3).wait() == 0
    with pytest.raises(soak.Broken, match="step 3, rank 0: other bits"):
        run.check()
