"""What one rank of the training does; it tells its controller what it reached."""

import warnings
from datetime import timedelta

import torch.distributed as dist
from training import Training

from bitsnap.torch import Checkpointer

RETENTION = dict(keep_last=2, keep_every=5, drop_optimizer_older_than=4)


def train(tell, store, rank, world_size, rendezvous, engine, profile, steps):
    warnings.simplefilter("ignore")  # of steps passed over, and of an agent that died
    if world_size > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size,
            timeout=timedelta(seconds=60),
        )  # fmt: skip
    training = Training(rank)
    with Checkpointer(store, profile, threads=1, engine=engine, **RETENTION) as ckpt:
        first = restore(tell, ckpt, training)
        for step in range(first + 1, first + 1 + steps):
            training.become(step)
            ckpt.save(step, training.model, training.optimizer, extra={"step": step})
            training.scribble()  # the copy is what counts
            tell_durable(tell, ckpt)
    tell_durable(tell, ckpt)
    tell("closed")


def restore(tell, ckpt, training):
    step = ckpt.restore(training.model, training.optimizer)
    if step is None:
        tell("restored 0 nothing")
        return 0
    tell(f"restored {step} {getattr(ckpt, 'restored_from', 'disk')}")
    if not training.is_at(step) or ckpt.extra != {"step": step}:
        tell(f"broken: rank {training.rank} restored other bits of step {step}")
    return step


def tell_durable(tell, ckpt):
    if ckpt.last_durable_step is not None:
        tell(f"durable {ckpt.last_durable_step}")
