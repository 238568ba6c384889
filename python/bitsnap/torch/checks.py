"""What may be passed to a Checkpointer, checked at once: not an hour later, by the first save."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any


def require_one_of(choices: Sequence[str], **settings: Any) -> None:
    """ValueError where one is none of `choices`."""
    for name, value in settings.items():
        if value not in choices:
            raise ValueError(f"unknown {name} {value!r}; use {', '.join(choices)}")


def require_whole(least: int, **settings: Any) -> None:
    """ValueError where one is neither None nor a whole number of at least `least`, of 64 bits."""
    for name, value in settings.items():
        if value is None or (isinstance(value, Integral) and least <= value < 2**64):
            continue
        bounds = f"of at least {least}, below 2**64"
        raise ValueError(f"{name} is {value!r}; pass a whole number {bounds}")
