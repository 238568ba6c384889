"""Copies in other machines' memory: each rank with a directory and an agent of its own."""

import os
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path

import pytest
import torch
from rank_processes import Killed, run_ranks
from torch_training import Run

import bitsnap
from bitsnap import Store
from bitsnap.torch import Checkpointer
from bitsnap.torch.places import partners_of
from bitsnap.torch.replica_key import ReplicaKey, parse_keys, usable

WORLD = 4


class Machines:
    """Directories of four machines: one for the store, one for the agent's socket."""

    def __init__(self, root):
        self.root = root

    def store(self, rank):
        return self.root / f"store-{rank}"

    def runtime(self, rank):
        return self.root / f"run-{rank}"

    def agents(self, rank):
        """Process ids of the agents that serve the machine's store."""
        found = []
        for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = cmdline.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"agent" in arguments and os.fsencode(self.store(rank)) in arguments:
                found.append(int(cmdline.parent.name))
        return found

    def lose(self, rank):
        """Disk, memory and all."""
        for agent in self.agents(rank):
            os.kill(agent, signal.SIGKILL)
        shutil.rmtree(self.store(rank), ignore_errors=True)
        shutil.rmtree(self.runtime(rank), ignore_errors=True)

    def rank_file(self, rank, step):
        return self.store(rank) / f"step-{step:08}/rank-{rank:05}-of-{WORLD:05}.bsnap"


@pytest.fixture
def machines():
    root = Path(tempfile.mkdtemp(prefix="bs-"))  # a socket's path must be short
    yield Machines(root)
    for rank in range(2 * WORLD):
        Machines(root).lose(rank)
    shutil.rmtree(root)


def checkpointer(rank, machines, **options):
    machines.runtime(rank).mkdir(exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(machines.runtime(rank))
    return Checkpointer(machines.store(rank), engine="agent", **options)


def expected(step, seed):
    return Run(seed).to(step, seed).bits()


def save_and_die(rank, machines, steps, replicas=1, same=False, **options):
    """Like a job that is killed some time after its last save."""
    ckpt = checkpointer(rank, machines, replicas=replicas, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in steps:
            seed = 0 if same else rank
            ckpt.save(step, **Run(seed).to(step, seed).state(), extra={"seed": seed})
        ckpt.wait()
        ckpt._replicator[1].close()
        ckpt.wait()
    messages = [str(each.message) for each in caught]
    assert len(messages) == 1 and "all ranks are on one machine" in messages[0], messages
    held = sorted((key.id.rank, key.id.step) for key in usable(parse_keys(ckpt._engine.agent_memory.held())))
    torch.distributed.barrier()
    (machines.root / f"held-{rank}").write_text(repr(held))
    os.kill(os.getpid(), signal.SIGKILL)


def held(machines):
    return [eval((machines.root / f"held-{rank}").read_text()) for rank in range(WORLD)]


def restore(rank, machines, replicas=1, **options):
    run = Run(99)
    with checkpointer(rank, machines, replicas=replicas) as ckpt:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                step = ckpt.restore(**run.state(), **options)
            except (bitsnap.BitSnapError, ValueError) as error:
                return f"{type(error).__name__}: {error}"
        assert run.bits() == expected(step, ckpt.extra["seed"])
        ckpt.store.verify()
        return step, ckpt.extra["seed"], ckpt.restored_from


def test_a_lost_disk_comes_back_from_the_partner(machines):
    assert run_ranks(WORLD, save_and_die, machines, [10, 20, 30, 40]) == [Killed] * WORLD
    # Of the rank before the last two saves, and the base of both.
    assert held(machines) == [[((r - 1) % WORLD, s) for s in (10, 30, 40)] for r in range(WORLD)]
    lost = [machines.rank_file(rank, 40).read_bytes() for rank in (0, 2)]
    for rank in (0, 2):
        machines.lose(rank)
    outcomes = run_ranks(WORLD, restore, machines)
    froms = ["partner", "disk", "partner", "disk"]
    assert outcomes == [(40, rank, froms[rank]) for rank in range(WORLD)]
    assert [machines.rank_file(rank, 40).read_bytes() for rank in (0, 2)] == lost


def test_neighbours_that_are_lost_take_the_step_with_them(machines):
    assert run_ranks(WORLD, save_and_die, machines, [10, 20]) == [Killed] * WORLD
    for rank in (1, 2):
        machines.lose(rank)
    for error in run_ranks(WORLD, restore, machines):
        assert error.startswith("NotFound") and "rank 1 of 4 is missing" in error


def test_a_damaged_file_is_replaced_by_the_partners(machines):
    assert run_ranks(WORLD, save_and_die, machines, [10, 20]) == [Killed] * WORLD
    damaged = machines.rank_file(3, 20)
    sound = damaged.read_bytes()
    damaged.write_bytes(sound[:700] + bytes([sound[700] ^ 1]) + sound[701:])
    machines.lose(1)  # so that not all have the step in memory
    outcomes = run_ranks(WORLD, restore, machines)
    assert outcomes == [(20, r, "partner" if r in (1, 3) else "disk") for r in range(WORLD)]
    assert damaged.read_bytes() == sound


def test_memory_is_preferred_where_all_have_it(machines):
    assert run_ranks(WORLD, save_and_die, machines, [10, 20]) == [Killed] * WORLD
    assert run_ranks(WORLD, restore, machines) == [(20, r, "memory") for r in range(WORLD)]
    assert not any(machines.agents(rank) for rank in range(WORLD))  # closed: they have gone


@pytest.mark.parametrize("world_size", [2, 8])
def test_another_number_of_ranks_with_replicas(machines, world_size):
    assert run_ranks(WORLD, save_and_die, machines, [10, 20], 1, True) == [Killed] * WORLD
    machines.lose(0)  # its copy is with rank 1
    outcomes = run_ranks(world_size, restore_from_zero, machines)
    assert outcomes == [(20, 0, "partner")] * world_size


def restore_from_zero(rank, machines):
    return restore(rank, machines, from_rank=0)


def close_beside_a_stopped_rank(rank, machines, stopped):
    """As when a machine loses power: its connections are neither closed nor answered."""
    ckpt = checkpointer(rank, machines, replicas=1, replica_timeout=3)
    ckpt.save(1, model={"w": torch.zeros(10)})
    ckpt.wait()
    pids = [None] * 3
    torch.distributed.all_gather_object(pids, os.getpid())
    # Of this one the coding takes longer than it has until it is stopped.
    ckpt.save(2, model={"w": torch.randn(20_000_000 if rank == stopped else 10)})
    if rank == stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ckpt.close()
    seconds = time.monotonic() - started
    messages = [str(each.message) for each in caught if "go to no other" in str(each.message)]
    (machines.root / f"closed-{rank}").touch()
    others = [each for each in range(3) if each != stopped]
    if rank == others[0]:
        while not (machines.root / f"closed-{others[1]}").exists():
            time.sleep(0.05)
        os.kill(pids[stopped], signal.SIGCONT)
    return seconds, messages


@pytest.mark.parametrize("stopped", [0, 2])
def test_close_waits_no_longer_than_told_for_a_rank_that_does_not_answer(machines, stopped):
    outcomes = run_ranks(3, close_beside_a_stopped_rank, machines, stopped)
    named = 0
    for rank, (seconds, messages) in enumerate(outcomes):
        assert len(messages) == 1, outcomes
        named += f"rank {stopped} does not answer" in messages[0]
        if rank != stopped:
            assert seconds < 15, outcomes
    assert named >= 1, outcomes  # the other one may be told by the first that it gave up
    for rank in range(3):
        assert Store(machines.store(rank)).list()[-1].step == 2  # saved all the same


def test_partners_are_on_other_machines():
    assert partners_of(1, [[0, 1, 2, 3]], 2) == [2, 3]
    assert partners_of(3, [[0, 1, 2, 3]], 9) == [0, 1, 2]
    two = [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [partners_of(rank, two, 1) for rank in range(8)] == [[(r + 4) % 8] for r in range(8)]
    assert partners_of(5, two, 3) == [1]
    three = [[0, 1], [2, 3], [4]]
    assert partners_of(1, three, 2) == [3, 4]
    assert partners_of(4, three, 2) == [0, 2]


def test_keys_say_what_a_copy_is_good_for():
    base = ReplicaKey(bitsnap.RankOfStep(10, 1, 4), 2**64 - 1, 1000, "aa", "")
    delta = ReplicaKey(bitsnap.RankOfStep(20, 1, 4), 5, 10, "bb", "aa")
    other = ReplicaKey(bitsnap.RankOfStep(20, 2, 4), 5, 10, "cc", "aa")
    texts = [key.text for key in (base, delta, other)]
    assert parse_keys(["", "replica", "x:" + texts[0], *texts]) == [base, delta, other]
    assert usable([base, delta, other]) == [base, delta]
    assert usable([delta]) == []
