"""Of which kind an optimizer is: one kind's state means nothing to another."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

# What learning rate schedulers add to parameter groups, whatever the optimizer.
_SCHEDULERS_OPTIONS = {
    "initial_lr",
    "max_lr",
    "min_lr",
    "base_momentum",
    "max_momentum",
    "swa_lr",
}


def kind_of(optimizer: Optimizer) -> str:
    """The name of its class, with that of the module that users import it from."""
    kind = type(optimizer)
    # Torch's own modules below torch.optim come and go.
    module = "torch.optim" if kind.__module__.startswith("torch.optim.") else kind.__module__
    return f"{module}.{kind.__qualname__}"


def why_other_kind(
    optimizer: Optimizer, stored_kind: str | None, stored_options: list[set[Any]]
) -> tuple[str, bool] | None:
    """Why what is stored is another kind of optimizer's, and whether its state may still fit.

    `stored_options` are the keys of the stored parameter groups, which tell kinds apart where they
    have other options; `stored_kind` is absent in steps of before it was stored.
    """
    kind = kind_of(optimizer)
    if stored_kind is not None and _is_same_class(kind, stored_kind):
        return None
    missing, unknown = _other_options(optimizer, stored_options)
    # Another version of one kind has more options or fewer, not both.
    fits = not (missing and unknown)
    if stored_kind is not None:
        return f"stored by {stored_kind}, wanted by {kind}", fits
    if fits:
        return None
    # This only looks like another kind: it is left to who calls to say that it is none.
    return (
        f"stored by an optimizer with the options {_listed(unknown)}; {kind} has "
        f"{_listed(missing)} instead",
        True,
    )


def _is_same_class(one: str, other: str) -> bool:
    """The module of a script that is run has another name than when it is imported."""
    if one == other:
        return True
    for script, imported in ((one, other), (other, one)):
        name = script.removeprefix("__main__")
        if name != script and imported.endswith(name):
            return not imported.startswith("torch.")
    return False


def _other_options(optimizer: Optimizer, stored: list[set[Any]]) -> tuple[set[Any], set[Any]]:
    """The options that are not stored, and the stored ones that this optimizer does not have."""
    if not stored:
        return set(), set()
    live = set(optimizer.defaults).union(*(group.keys() for group in optimizer.param_groups))
    missing = set(optimizer.defaults) - set.union(*stored)
    unknown = set.intersection(*stored) - live - _SCHEDULERS_OPTIONS
    return missing, unknown


def _listed(options: set[Any]) -> str:
    return ", ".join(sorted(map(str, options)))
