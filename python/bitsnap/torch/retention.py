"""Which steps a save removes: the rules, and what a run may not lose."""

from __future__ import annotations

from collections import deque
from typing import Any

from bitsnap import Store
from bitsnap.torch.engines import PendingSave
from bitsnap.torch.places import Places
from bitsnap.torch.ranks import Ranks


class Retention:
    """The rules of a Checkpointer, with what it knows of its steps."""

    def __init__(self, store: Store, **rules: Any) -> None:
        """`rules` are those of Store.prune. Raises where they make no sense."""
        self._rules = rules
        self._prunes = any(rule not in (None, False) for rule in rules.values())
        if self._prunes:
            store.prune(**rules, whole_up_to=0, dry_run=True)
        # Of which it is asked what is durable; more than can be under way.
        self._recent: deque[PendingSave] = deque(maxlen=16)
        self._restored: set[int] = set()  # what the run stands on, where it is on disk
        self._stands_on: list[int] = []  # the step restored, until a save is durable
        self._doubtful: set[int] = set()  # passed over, and not saved anew

    def replaces(self, step: int) -> bool:
        """Whether a save of `step` takes the place of one that could not be restored."""
        is_doubtful = step in self._doubtful
        self._doubtful.discard(step)
        return is_doubtful

    def go_back(self, step: int) -> None:
        """A new run begins with `step`: what it left behind counts no more."""
        self._recent.clear()
        self._restored = {each for each in self._restored if each < step}

    def saved(self, save: PendingSave) -> None:
        self._recent.append(save)

    def passed_over(self, steps: set[int]) -> None:
        self._doubtful = steps

    def restored(self, step: int, is_on_disk: bool) -> None:
        self._recent.clear()
        self._restored = {step} if is_on_disk else set()
        self._stands_on = [step]

    def policy(self, ranks: Ranks, places: Places) -> dict[str, Any]:
        """What the next save is to remove; empty for ranks that remove nothing. Collective.

        A step counts only where each rank knows its own file to be sound: it wrote the file and
        made it durable, or restored from it. So of several ranks the first one in each directory
        removes, and up to the newest step of which all ranks know that.
        """
        if not self._prunes:
            return {}
        durable = {save.step for save in self._recent if save.seconds_until_durable is not None}
        policy = {
            **self._rules,
            "passed_over": sorted(self._doubtful),
            "keep": [] if durable else self._stands_on,
        }
        if ranks.world_size == 1:
            return policy
        everywhere = set.intersection(*ranks.gather(durable | self._restored))
        if not everywhere or ranks.rank != places.sharers(ranks.rank)[0]:
            return {}
        return {**policy, "whole_up_to": max(everywhere)}
