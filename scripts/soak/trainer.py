"""What one rank of the training does; it tells its controller what it reached."""

import warnings
from dataclasses import dataclass, field
from datetime import timedelta

import torch.distributed as dist
from training import Training

import bitsnap
from bitsnap.torch import Checkpointer


@dataclass
class Plan:
    """What a run does, the same on all ranks."""

    store: str
    rendezvous: str
    number: int  # of its first save; the others follow
    saves: int
    world_size: int = 1
    engine: str = "thread"
    profile: str = "exact"
    step: int | None = None  # that it goes back to
    afresh: bool = False  # restores nothing
    again: int | None = None  # which of its saves replaces the one before
    survives: bool = False  # goes on where a save fails
    settings: dict = field(default_factory=dict)  # of the Checkpointer


def train(tell, rank, plan):
    warnings.simplefilter("ignore")  # of steps passed over, and of an agent that died
    if plan.world_size > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{plan.rendezvous}", rank=rank, world_size=plan.world_size,
            timeout=timedelta(seconds=60),
        )  # fmt: skip
    with Checkpointer(
        plan.store, plan.profile, threads=1, engine=plan.engine, **plan.settings
    ) as ckpt:
        _Run(tell, rank, plan, ckpt).train()
    tell("closed")


class _Run:
    def __init__(self, tell, rank, plan, ckpt):
        self.tell, self.plan, self.ckpt = tell, plan, ckpt
        self.training = Training(rank)
        self.pending = []  # numbers and saves, oldest first

    def train(self):
        step = self.restore()
        for index in range(self.plan.saves):
            again = index > 0 and index == self.plan.again
            step += not again
            self.save(self.plan.number + index, step, again)
        while self.bear(lambda: self.ckpt.wait() or "over") is None:
            pass  # each that failed is raised once
        self.tell_durable()

    def save(self, number, step, again):
        self.training.become(number)
        self.tell(f"saving {number} {step} {'again' if again else 'next'}")
        extra = {"save": number}
        saved = self.bear(
            lambda: self.ckpt.save(
                step, self.training.model, self.training.optimizer, extra=extra, overwrite=again
            )
        )
        self.training.scribble()  # the copy is what counts
        if saved is not None:
            self.pending.append((number, saved))
        self.tell_durable()

    def bear(self, work):
        """Its result; None where it failed, and the run is to survive that."""
        try:
            return work()
        except bitsnap.BitSnapError as error:
            if not self.plan.survives:
                raise
            self.tell(f"refused {type(error).__name__}")
            return None

    def restore(self):
        """The step that was restored, 0 when none was."""
        if self.plan.afresh:
            self.tell("restored 0 0 afresh")
            return 0
        ckpt, training = self.ckpt, self.training
        step = ckpt.restore(training.model, training.optimizer, step=self.plan.step)
        if step is None:
            self.tell("restored 0 0 nothing")
            return 0
        number = training.number()
        if number is None or ckpt.extra != {"save": number}:
            self.tell(f"broken: rank {training.rank} restored other bits of step {step}")
        self.tell(f"restored {step} {number} {ckpt.restored_from}")
        return step

    def tell_durable(self):
        for number, saved in [*self.pending]:
            if saved.seconds_until_durable is not None:
                self.tell(f"durable {number}")
                self.pending.remove((number, saved))
