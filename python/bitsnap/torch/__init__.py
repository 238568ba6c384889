"""Checkpoints of PyTorch training runs.

    from bitsnap.torch import Checkpointer

    ckpt = Checkpointer("runs/a")
    step = ckpt.restore(model=model, optimizer=optimizer)  # None when there is nothing
    ckpt.save(step, model=model, optimizer=optimizer, extra={"rng": torch.get_rng_state()})
"""

from bitsnap.records import PassedOver, SaveReport
from bitsnap.torch.checkpointer import Checkpointer

__all__ = ["Checkpointer", "PassedOver", "SaveReport"]
