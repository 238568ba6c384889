"""A snapshot to the objects of a training run."""

from __future__ import annotations

from typing import Any

from bitsnap import Snapshot
from bitsnap.torch.content import content_of, decoding, find_loads
from bitsnap.torch.models import ModelState
from bitsnap.torch.optimizers import OptimizerState
from bitsnap.torch.transfer import Incoming, compare_names


def load(
    snapshot: Snapshot,
    model: ModelState,
    optimizers: list[OptimizerState],
    extra: Any,
    strict: bool,
    threads: int,
) -> Any:
    """Fills model, optimizers and the stateful objects in `extra`; returns the stored extra.

    What does not fit raises before anything is changed, as far as it can be known before.
    """
    incoming = Incoming(snapshot)
    content = content_of(snapshot)
    if model.wanted:
        model.plan(incoming, content["model"], content.get("module_metadata"), strict)
    if optimizers:
        names = (content["optimizers"], [state.name for state in optimizers])
        sides = ([f"optimizer.{n}".removesuffix(".") for n in side] for side in names)
        compare_names(incoming, *sides, strict)
    optimizers = [state for state in optimizers if state.name in content["optimizers"]]
    for state in optimizers:
        state.plan(incoming, content["optimizers"][state.name], strict)
    with decoding(snapshot):
        incoming.new_for(content["extra"])
        # Its tensors are filled by read().
        stored_extra = incoming.decode(content["extra"])
    loads = list(find_loads(incoming, extra, stored_extra, "extra"))

    incoming.read(threads)
    if model.wanted:
        model.finish(incoming, content["model"], strict)
    for state in optimizers:
        state.finish(incoming, content["optimizers"][state.name])
    for stateful, value in loads:
        stateful.load_state_dict(value)
    return stored_extra
