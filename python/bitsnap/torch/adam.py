"""What the bound on Adam's update needs to know of an optimizer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import Optimizer

_DEFAULT_EPS = 1e-8  # torch's


def adam_eps(optimizers: Iterable[Optimizer]) -> float:
    """What Adam and its relatives add to the root of exp_avg_sq as it is stored.

    Torch corrects the bias of exp_avg_sq first: m / (sqrt(v / c) + eps) is, but for a factor, what
    m / (sqrt(v) + eps * sqrt(c)) is. Where groups disagree, the eps of most elements.
    """
    elements: Counter[float] = Counter()
    for optimizer in optimizers:
        for group in groups_like_adams(optimizer):
            if _is_small(group["eps"]):
                eps = float(group["eps"]) * _root_of_bias(optimizer, group)
                elements[eps] += sum(p.numel() for p in group["params"])
    return max(elements, key=elements.__getitem__, default=_DEFAULT_EPS)


def groups_like_adams(optimizer: Optimizer) -> list[dict[str, Any]]:
    """The groups that have the options of Adam."""
    return [g for g in optimizer.param_groups if "eps" in g and "betas" in g]


def _root_of_bias(optimizer: Optimizer, group: dict[str, Any]) -> float:
    """The root of 1 - beta2 ** step, by the first parameter of the group that has a step."""
    try:
        states = (optimizer.state.get(p, {}) for p in group["params"])
        step = next(float(state["step"]) for state in states if "step" in state)
        bias = 1 - float(group["betas"][1]) ** step
    except (ArithmeticError, LookupError, StopIteration, TypeError, ValueError):
        return 1.0  # relatives mean other things by these
    return math.sqrt(bias) if 0 < bias < 1 else 1.0


def _is_small(eps: Any) -> bool:
    """Whether it is a number to add to Adam's denominator; relatives keep other things there."""
    if isinstance(eps, torch.Tensor) and eps.numel() == 1:
        eps = eps.item()
    return isinstance(eps, (int, float)) and 0 <= eps <= 1
