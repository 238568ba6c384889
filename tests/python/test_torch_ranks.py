"""Two real processes under gloo: whole steps, agreement, fallback."""

import subprocess
import sys
from pathlib import Path

import pytest

import bitsnap

PREAMBLE = """
import sys, warnings
import torch, torch.distributed as dist
import bitsnap
from torch_training import make_model, model_bits
from bitsnap.torch import Checkpointer
rank, store, rendezvous = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
ckpt = Checkpointer(store)
"""
EPILOGUE = """
dist.barrier()
dist.destroy_process_group()
"""


def run_two(tmp_path, script):
    """Runs `script` as two ranks; returns what each printed. Fails when one fails."""
    rendezvous = tmp_path / f"rendezvous-{len(list(tmp_path.iterdir()))}"
    text = PREAMBLE + script + EPILOGUE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", text, str(rank), str(tmp_path / "store"), str(rendezvous)],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [p.returncode for p in processes] == [0, 0], outputs
    return [out.strip() for out, _ in outputs]


SAVE = """
for step in (10, 20):
    ckpt.save(step, model=make_model(step + rank), extra={"rank": rank})
"""
RESTORE = """
model = make_model(0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    step = ckpt.restore(model=model)
if step is not None:
    assert ckpt.extra == {"rank": rank}
    assert model_bits(model) == model_bits(make_model(step + rank))
print(step, [p.step for p in ckpt.passed_over])
"""


def rank_file(tmp_path, step, rank):
    return tmp_path / "store" / f"step-{step:08}" / f"rank-{rank:05}-of-00002.bsnap"


def test_each_rank_gets_its_own_part_back(tmp_path):
    run_two(tmp_path, SAVE)
    steps = bitsnap.Store(tmp_path / "store").list()
    assert [(s.step, s.world_size, s.ranks, s.whole) for s in steps] == [
        (10, 2, [0, 1], True),
        (20, 2, [0, 1], True),
    ]
    assert run_two(tmp_path, RESTORE) == ["20 []", "20 []"]


def test_nothing_saved(tmp_path):
    assert run_two(tmp_path, RESTORE) == ["None []", "None []"]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("damage", ["missing", "footer", "block"])
def test_all_ranks_fall_back_when_one_cannot_read(tmp_path, rank, damage):
    run_two(tmp_path, SAVE)
    path = rank_file(tmp_path, 20, rank)
    if damage == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[-1 if damage == "footer" else 700] ^= 1
        path.write_bytes(content)
    assert run_two(tmp_path, RESTORE) == ["10 [20]", "10 [20]"]


def test_half_of_an_overwritten_step_is_not_whole(tmp_path):
    """Rank 0 saves the step again and rank 1 does not: save ids tell them apart."""
    run_two(tmp_path, SAVE)
    bitsnap.Store(tmp_path / "store").save([], 20, rank=0, world_size=2, save_id=1, overwrite=True)
    assert run_two(tmp_path, RESTORE) == ["10 [20]", "10 [20]"]
    # Training reaches step 20 again and replaces what is left of it.
    again = RESTORE + "ckpt.save(20, model=make_model(20 + rank), extra={'rank': rank})"
    run_two(tmp_path, again)
    assert run_two(tmp_path, RESTORE) == ["20 []", "20 []"]


def test_a_mismatch_on_one_rank_stops_all(tmp_path):
    run_two(tmp_path, SAVE)
    script = """
try:
    ckpt.restore(model=make_model(0) if rank == 0 else torch.nn.Linear(1, 1))
except Exception as error:
    print(type(error).__name__, "rank 1 could not restore step 20" in str(error))
"""
    assert run_two(tmp_path, script) == ["RuntimeError True", "ValueError False"]
