"""Each rank with a directory of its own, as on machines that share no disk."""

import os
import shutil
import signal
import warnings

import pytest
import torch
from rank_processes import Killed, run_ranks
from torch_training import make_model, model_bits

import bitsnap
from bitsnap.torch import Checkpointer

WORLD = 4


def own(root, rank):
    return root / f"machine-{rank}"


def rank_file(root, step, rank, world_size=WORLD):
    return own(root, rank) / f"step-{step:08}" / f"rank-{rank:05}-of-{world_size:05}.bsnap"


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def save(rank, root, steps):
    """Every rank another state: as with sharded models."""
    with Checkpointer(own(root, rank)) as ckpt:
        for step in steps:
            ckpt.save(step, model=make_model(100 * step + rank), extra={"rank": rank})


def save_same(rank, root, steps):
    """Every rank the same state: as under DistributedDataParallel."""
    with Checkpointer(own(root, rank)) as ckpt:
        for step in steps:
            ckpt.save(step, model=make_model(100 * step), extra={"rank": rank})


def die_while_saving(rank, root, step, victim):
    ckpt = Checkpointer(own(root, rank))
    # Takes long enough to be under way when the signal comes.
    extra = torch.randn(4_000_000) if rank == victim else None
    ckpt.save(step, model=make_model(step + rank), extra=extra)
    if rank == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    ckpt.wait()
    os.kill(os.getpid(), signal.SIGKILL)  # not to wait for the other in vain


def restore(rank, root, **options):
    """The step, whose state it was, from where, and what was passed over."""
    model = make_model(0)
    ckpt = Checkpointer(own(root, rank))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step = ckpt.restore(model=model, **options)
    if step is None:
        return None
    saved_rank = ckpt.extra["rank"]
    seeds = (100 * step + saved_rank, 100 * step)
    assert model_bits(model) in [model_bits(make_model(seed)) for seed in seeds]
    return step, saved_rank, ckpt.restored_from, [p.step for p in ckpt.passed_over]


def restore_all(rank, roots, **options):
    return [restore(rank, root, **options) for root in roots]


def error_of(rank, root, **options):
    try:
        restore(rank, root, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Steps 10 and 20 of four ranks; not to be changed."""
    root = tmp_path_factory.mktemp("saved")
    run_ranks(WORLD, save, root, [10, 20])
    return root


def copy(saved, tmp_path, name="copy"):
    return shutil.copytree(saved, tmp_path / name)


def test_no_directory_is_whole_and_all_together_are(saved):
    for rank in range(WORLD):
        assert [s.rank for s in bitsnap.Store(own(saved, rank)).list_ranks()] == [rank, rank]
    assert run_ranks(WORLD, restore, saved) == [(20, rank, "disk", []) for rank in range(WORLD)]


def test_all_take_the_older_step_when_one_cannot_read_its_own(saved, tmp_path):
    damages = {
        "missing": lambda path: path.unlink(),
        "header": lambda path: flip(path, 3),
        "block": lambda path: flip(path, 700),
    }
    roots = []
    for victim, (name, damage) in enumerate(damages.items()):
        roots.append(copy(saved, tmp_path, name))
        damage(rank_file(roots[-1], 20, victim))
    for rank, outcomes in enumerate(run_ranks(WORLD, restore_all, roots)):
        assert outcomes == [(10, rank, "disk", [20])] * len(roots)


def test_a_rank_that_is_killed_while_it_saves(saved, tmp_path):
    root = copy(saved, tmp_path)
    assert run_ranks(WORLD, die_while_saving, root, 30, 2) == [Killed] * WORLD
    assert [rank_file(root, 30, rank).exists() for rank in range(WORLD)] == [
        True, True, False, True,
    ]  # fmt: skip
    expected = [(20, rank, "disk", [30]) for rank in range(WORLD)]
    assert run_ranks(WORLD, restore, root) == expected


def test_machines_may_change_places(saved, tmp_path):
    root = tmp_path / "moved"
    for rank in range(WORLD):
        shutil.copytree(own(saved, rank), own(root, (rank + 1) % WORLD))
    expected = [(20, rank, "partner", []) for rank in range(WORLD)]
    assert run_ranks(WORLD, restore, root) == expected
    # What was brought is now on the machine that wanted it.
    expected = [(20, rank, "disk", []) for rank in range(WORLD)]
    assert run_ranks(WORLD, restore, root) == expected


def test_a_lost_directory_is_no_reason_to_start_afresh(saved, tmp_path):
    root = copy(saved, tmp_path)
    shutil.rmtree(own(root, 1))
    for error in run_ranks(WORLD, error_of, root):
        assert "NotFound" in error and "the file of rank 1 of 4 is missing" in error


def save_and_prune(rank, root):
    with Checkpointer(own(root, rank), keep_last=1) as ckpt:
        for step in (30, 40, 50):
            ckpt.save(step, model=make_model(100 * step + rank), extra={"rank": rank}).wait()
            torch.distributed.barrier()
            on_disk = {each.step for each in ckpt.store.list_ranks()}
            # The newest that all are known to have, and what came after it.
            assert on_disk == ({10, 20, 30} if step == 30 else {step - 10, step}), on_disk


def test_pruning_keeps_what_is_whole_only_together(saved, tmp_path):
    root = copy(saved, tmp_path)
    run_ranks(WORLD, save_and_prune, root)
    expected = [(50, rank, "disk", []) for rank in range(WORLD)]
    assert run_ranks(WORLD, restore, root) == expected
    store = bitsnap.Store(own(root, 0))
    assert [(s.step, s.ranks, s.whole) for s in store.list()] == [(40, [0], True), (50, [0], True)]
    assert (own(root, 0) / "LATEST").read_text() == "step-00000050\n"
    assert store.repair(min_age=0).repaired == []


@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_another_number_of_ranks(tmp_path, world_size):
    root = tmp_path / "root"
    run_ranks(WORLD, save_same, root, [10, 20])
    for error in run_ranks(world_size, error_of, root):
        assert "from_rank" in error, error
    outcomes = run_ranks(world_size, restore_from_zero, root)
    assert [(step, saved_rank) for step, saved_rank, *_ in outcomes] == [(20, 0)] * world_size
    assert outcomes[0][2] == "disk" and all(each[2] == "partner" for each in outcomes[1:])
    # From here on the run has so many ranks.
    run_ranks(world_size, save_same, root, [30])
    assert run_ranks(world_size, restore, root) == [
        (30, rank, "disk", []) for rank in range(world_size)
    ]


def restore_from_zero(rank, root):
    return restore(rank, root, from_rank=0)
