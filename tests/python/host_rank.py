"""One rank of a training job on a Host: tells in lines of JSON what it did, for test_torch_hosts.

host_rank.py {train|restore} RANK WORLD_SIZE ADDRESS_OF_RANK_0 DISK
"""

import datetime
import hashlib
import json
import os
import sys
import warnings
from pathlib import Path

import torch.distributed as dist
from torch.distributed.distributed_c10d import _set_pg_timeout
from torch_training import Run
from waiting import eventually

from bitsnap.torch import Checkpointer
from bitsnap.torch.replica_key import parse_keys

STEPS = (10, 20)
PORT = 29500


def tell(**what):
    print(json.dumps(what), flush=True)


def digest(run):
    return hashlib.sha256(repr(run.bits()).encode()).hexdigest()


def holds_newest(checkpointer):
    """Whether the copy that another rank sends is here."""
    return any(key.id.step == STEPS[-1] for key in parse_keys(checkpointer._engine.agent_memory.held()))


def train_and_save(checkpointer, rank):
    """Until the job is told to save once more, which it cannot where a machine is gone."""
    run = Run(rank)
    with checkpointer:
        for step in STEPS:
            checkpointer.save(step, **run.to(10, seed=step).state())
        checkpointer.wait()
        assert eventually(lambda: holds_newest(checkpointer))
        tell(saved=STEPS[-1], digest=digest(run))
        sys.stdin.readline()
        _set_pg_timeout(datetime.timedelta(seconds=5), dist.group.WORLD)
        checkpointer.save(30, **run.state())


def main():
    phase, rank, world_size, address, disk = sys.argv[1:]
    rank, world_size = int(rank), int(world_size)
    os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://{address}:{PORT}",
        rank=rank,
        world_size=world_size,
        timeout=datetime.timedelta(seconds=60),
    )
    warnings.simplefilter("ignore")
    checkpointer = Checkpointer(
        Path(disk) / "store", engine="agent", replicas=1, replica_timeout=5
    )
    if phase == "train":
        try:
            train_and_save(checkpointer, rank)
        except RuntimeError as error:
            tell(ended=str(error))
        os._exit(0)  # as what is left of a job is ended
    run = Run(99)
    with checkpointer:
        step = checkpointer.restore(**run.state())
        tell(step=step, restored_from=checkpointer.restored_from, digest=digest(run))
        checkpointer.store.verify()
        dist.barrier()


if __name__ == "__main__":
    main()
