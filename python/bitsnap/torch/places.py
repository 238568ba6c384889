"""Which ranks share a machine, and which a store's directory."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitsnap.torch.ranks import Ranks


@dataclass(frozen=True)
class Places:
    """Lists of ranks, each in order; the lists are in the order of their first ranks."""

    machines: list[list[int]]
    directories: list[list[int]]

    def sharers(self, rank: int) -> list[int]:
        """The ranks whose store's directory is that of `rank`."""
        return next(ranks for ranks in self.directories if rank in ranks)

    @property
    def has_shared_store(self) -> bool:
        return len(self.directories) == 1


def find_places(ranks: Ranks, directory: Path) -> Places:
    """Collective."""
    machine = _machine()
    status = os.stat(directory)
    seen = ranks.gather((machine, status.st_dev, status.st_ino))
    local = _group(seen)
    machines = _group([each[0] for each in seen])
    return Places(machines, _join_shared(ranks, directory, local) if len(local) > 1 else local)


def _join_shared(ranks: Ranks, directory: Path, local: list[list[int]]) -> list[list[int]]:
    """Joins the groups of machines that see the same directory over a network.

    A file that one makes and another sees tells; the name is that of a temporary file, so that
    repair() removes what a killed process leaves.
    """
    first_of = {rank: group[0] for group in local for rank in group}
    first = first_of[ranks.rank]
    probe = directory / f".LATEST.tmp-{os.getpid()}-{secrets.randbits(48)}"
    made = ranks.rank == first and _touch(probe)
    probes = ranks.gather(probe.name if made else None)
    seen = [rank for rank, name in enumerate(probes) if name and (directory / name).exists()]
    lowest = ranks.gather(min(seen, default=first))
    if made:
        probe.unlink()
    return _group([lowest[first_of[rank]] for rank in range(ranks.world_size)])


_PARTIAL = "Files of some ranks only; those of the others are on other machines (docs/store.md).\n"


def mark_partial(ranks: Ranks, places: Places, directory: Path) -> bool:
    """Lets the directory say whether it holds some ranks' files only; whether it does."""
    mark = directory / "PARTIAL"
    if ranks.world_size > 1 and ranks.rank == places.sharers(ranks.rank)[0]:
        with contextlib.suppress(OSError):  # read-only: nothing is saved or pruned here
            if places.has_shared_store:
                mark.unlink(missing_ok=True)
            else:
                mark.write_text(_PARTIAL)
    # In a world of one as it was: the files of a larger world may be here.
    return mark.exists() if ranks.world_size == 1 else not places.has_shared_store


def _touch(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.touch(exist_ok=False)
        return True
    return False  # read-only: taken for a directory of this machine's own


def _machine() -> str:
    """The same for all processes of a machine, also of several containers on it."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()


def _group(keys: Sequence[Hashable]) -> list[list[int]]:
    """The positions of equal keys."""
    groups: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def partners_of(rank: int, machines: list[list[int]], count: int) -> list[int]:
    """The ranks that hold copies of what `rank` saves: on other machines where there are any.

    The one at the same place of the next machine, of the one after it, and so on.
    """
    if len(machines) == 1:
        others = machines[0]
        place = others.index(rank)
        return [others[(place + i) % len(others)] for i in range(1, min(count + 1, len(others)))]
    home = next(i for i, ranks in enumerate(machines) if rank in ranks)
    place = machines[home].index(rank)
    chosen = []
    for i in range(1, min(count + 1, len(machines))):
        machine = machines[(home + i) % len(machines)]
        chosen.append(machine[place % len(machine)])
    return chosen
