"""The ways to save that are compared, behind one interface."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist


class Nothing:
    """Does not save: what the others are compared with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lags: list[float] = []  # seconds from each save's call until it was on disk

    def prepare(self, training) -> None:
        """At the start of the run, its time counted."""

    def save(self, step: int, training, state: dict) -> None:
        pass

    def finish(self) -> None:
        """Waits for all that was saved."""


class TorchSave(Nothing):
    """torch.save, which leaves the syncing to the system."""

    def save(self, step, training, state):
        started = time.perf_counter()
        torch.save(state, self.folder / f"{step}.pt")
        self.lags.append(time.perf_counter() - started)


class Dcp(Nothing):
    """DCP's async_save. As it demands, a save waits for the one before."""

    def __init__(self, folder, kind: str) -> None:
        super().__init__(folder)
        from torch.distributed.checkpoint import state_dict_saver

        self.save_async = partial(
            state_dict_saver.async_save,
            async_checkpointer_type=state_dict_saver.AsyncCheckpointerType[kind],
        )
        dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=0, world_size=1)
        self.future = None

    def save(self, step, training, state):
        self._wait()
        started = time.perf_counter()
        future = self.save_async(state, checkpoint_id=self.folder / str(step))
        self.future = getattr(future, "upload_completion", future)
        self.future.add_done_callback(
            lambda _: self.lags.append(time.perf_counter() - started)
        )

    def _wait(self):
        if self.future is not None:
            self.future.result()

    def finish(self):
        self._wait()
        dist.destroy_process_group()


class BitSnap(Nothing):
    def __init__(self, folder, engine: str, profile: str) -> None:
        super().__init__(folder)
        from bitsnap.torch import Checkpointer

        self.checkpointer = Checkpointer(folder, profile=profile, engine=engine)
        self.saves = []

    def prepare(self, training):
        self.checkpointer.prepare(model=training.model, optimizer=training.optimizer)

    def save(self, step, training, state):
        self.saves.append(
            self.checkpointer.save(step, model=training.model, optimizer=training.optimizer)
        )

    def finish(self):
        self.checkpointer.close()
        self.lags = [save.seconds_until_durable for save in self.saves]


SAVERS = {
    "no saving": Nothing,
    "torch.save": TorchSave,
    "DCP async, thread": partial(Dcp, kind="THREAD"),
    "DCP async, process": partial(Dcp, kind="PROCESS"),
    **{
        f"bitsnap {profile}, {engine}": partial(BitSnap, engine=engine, profile=profile)
        for engine in ("thread", "agent")
        for profile in ("fast", "exact", "balanced")
    },
}
