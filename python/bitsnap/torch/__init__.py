"""Checkpoints of PyTorch training runs.

    from bitsnap.torch import Checkpointer

    with Checkpointer("runs/a") as ckpt:
        step = ckpt.restore(model=model, optimizer=optimizer)  # None when there is nothing
        ckpt.save(step, model=model, optimizer=optimizer, extra={"rng": torch.get_rng_state()})
"""

from bitsnap.records import PassedOver, SaveReport
from bitsnap.torch.checkpointer import Checkpointer
from bitsnap.torch.engines import PendingSave

__all__ = ["Checkpointer", "PassedOver", "PendingSave", "SaveReport"]
