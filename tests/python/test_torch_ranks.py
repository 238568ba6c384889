"""Two real processes under gloo: whole steps, agreement, fallback."""

import shutil
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
rank, rendezvous, *stores = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)

def save(store, *steps):
    for step in steps:
        Checkpointer(store).save(step, model=make_model(step + rank), extra={"rank": rank})

def restore(store):
    model = make_model(0)
    ckpt = Checkpointer(store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step = ckpt.restore(model=model)
    if step is not None:
        assert ckpt.extra == {"rank": rank}
        assert model_bits(model) == model_bits(make_model(step + rank))
    print(step, [p.step for p in ckpt.passed_over])
"""
EPILOGUE = """
dist.barrier()
dist.destroy_process_group()
"""


def run_two(tmp_path, script, *stores):
    """Runs `script` as two ranks; returns the lines that each printed. Fails when one fails."""
    rendezvous = tmp_path / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    text = PREAMBLE + script + EPILOGUE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", text, str(rank), rendezvous, *stores],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [p.returncode for p in processes] == [0, 0], outputs
    return [out.splitlines() for out, _ in outputs]


def rank_file(store, step, rank):
    return store / f"step-{step:08}" / f"rank-{rank:05}-of-00002.bsnap"


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A store with steps 10 and 20 of two ranks; not to be changed."""
    root = tmp_path_factory.mktemp("saved")
    run_two(root, "save(stores[0], 10, 20)", root / "store")
    return root / "store"


def test_a_step_holds_all_ranks_of_one_save(saved):
    assert [(s.step, s.world_size, s.ranks, s.whole) for s in bitsnap.Store(saved).list()] == [
        (10, 2, [0, 1], True),
        (20, 2, [0, 1], True),
    ]


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "footer": lambda path: flip(path, -1),
    "block": lambda path: flip(path, 700),
}


def test_all_ranks_take_the_newest_step_that_each_can_read(saved, tmp_path):
    stores, expected = [tmp_path / "empty", saved], ["None []", "20 []"]
    for name, damage in DAMAGES.items():
        for rank in range(2):
            stores.append(shutil.copytree(saved, tmp_path / f"{name}-{rank}"))
            damage(rank_file(stores[-1], 20, rank))
            expected.append("10 [20]")
    assert run_two(tmp_path, "for store in stores: restore(store)", *stores) == [expected] * 2


def test_half_of_an_overwritten_step_is_not_whole(saved, tmp_path):
    """Rank 0 saves the step again and rank 1 does not: save ids tell them apart."""
    store = shutil.copytree(saved, tmp_path / "store")
    bitsnap.Store(store).save([], 20, rank=0, world_size=2, save_id=1, overwrite=True)
    # Training goes on from step 10, reaches step 20 again and replaces what is left of it.
    script = """
restore(stores[0])
save(stores[0], 20)
dist.barrier()
restore(stores[0])
"""
    assert run_two(tmp_path, script, store) == [["10 [20]", "20 []"]] * 2


def test_a_mismatch_on_one_rank_stops_all(saved, tmp_path):
    script = """
try:
    model = make_model(0) if rank == 0 else torch.nn.Linear(1, 1)
    Checkpointer(stores[0]).restore(model=model)
except Exception as error:
    print(type(error).__name__, "rank 1 could not restore step 20" in str(error))
"""
    assert run_two(tmp_path, script, saved) == [["RuntimeError True"], ["ValueError False"]]


def test_steps_that_no_call_completed_are_nothing(saved, tmp_path):
    """In one directory that all see, what is missing was never saved."""
    store = shutil.copytree(saved, tmp_path / "store")
    for step in (10, 20):
        rank_file(store, step, 1).unlink()
    assert run_two(tmp_path, "restore(stores[0])", store) == [["None [20, 10]"]] * 2
