"""Runs a function as several ranks of torch.distributed: real processes under gloo."""

import multiprocessing
import os
import tempfile
import traceback
from multiprocessing.connection import Connection

# Children are forked from one process that has imported all already: seconds less for each.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["torch._dynamo", "bitsnap.torch", "torch_training"])


class Killed:
    """What run_ranks() has of a rank that a signal ended."""


def run_ranks(world_size, function, *arguments):
    """function(rank, *arguments) on each rank; what it returned, or Killed, of each.

    Fails when a rank raises. The function must be one of a module.
    """
    with tempfile.TemporaryDirectory() as folder:
        ranks = []
        for rank in range(world_size):
            ours, theirs = _context.Pipe()
            work = (theirs, f"file://{folder}/rendezvous", rank, world_size, function, arguments)
            process = _context.Process(target=_run, args=work)
            process.start()
            theirs.close()
            ranks.append((process, ours))
        outcomes = [_outcome(*each) for each in ranks]
    errors = [value for failed, value in outcomes if failed]
    assert not errors, "\n".join(errors)
    return [value for _, value in outcomes]


def _outcome(process, connection):
    try:
        assert connection.poll(120), "a rank hangs"
        outcome = connection.recv()
    except EOFError:
        process.join()
        outcome = (process.exitcode > 0, f"exit code {process.exitcode}")
        return outcome if outcome[0] else (False, Killed)
    finally:
        process.join(20)
        process.kill()
    return outcome


def _run(connection: Connection, rendezvous, rank, world_size, function, arguments):
    import torch.distributed as dist

    try:
        if world_size > 1:
            dist.init_process_group(
                "gloo", init_method=rendezvous, rank=rank, world_size=world_size
            )
        value = function(rank, *arguments)
        if world_size > 1:
            dist.barrier()
            dist.destroy_process_group()
        connection.send((False, value))
    except BaseException:
        connection.send((True, traceback.format_exc()))
        os._exit(1)
