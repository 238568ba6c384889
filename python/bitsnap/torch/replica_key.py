"""The names under which agents hold rank files of other machines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bitsnap import RankOfStep, StoredFile

_PREFIX = "replica"


@dataclass(frozen=True)
class ReplicaKey:
    """Says all that is needed to tell what the file is good for, without opening it."""

    id: RankOfStep
    save_id: int
    bytes: int
    hash: str
    base_hash: str  # of the file that it leans on, or empty

    @property
    def text(self) -> str:
        numbers = (self.id.step, self.id.rank, self.id.world_size, self.save_id, self.bytes)
        return ":".join([_PREFIX, *map(str, numbers), self.hash, self.base_hash])

    @property
    def owner(self) -> tuple[int, int]:
        return self.id.rank, self.id.world_size

    def is_base_of(self, other: ReplicaKey) -> bool:
        return (*self.owner, self.hash) == (*other.owner, other.base_hash)


def key_of(file: StoredFile) -> ReplicaKey:
    return ReplicaKey(file.id, file.save_id, file.bytes, file.hash, file.base_hash)


def parse_keys(texts: Iterable[str]) -> list[ReplicaKey]:
    """Texts that are none of ours are left out."""
    keys = []
    for text in texts:
        parts = text.split(":")
        if parts[0] == _PREFIX and len(parts) == 8:
            step, rank, world_size, save_id, size = map(int, parts[1:6])
            id = RankOfStep(step, rank, world_size)
            keys.append(ReplicaKey(id, save_id, size, *parts[6:]))
    return keys


def usable(keys: list[ReplicaKey]) -> list[ReplicaKey]:
    """Those whose base is there, too."""
    return [key for key in keys if not key.base_hash or any(k.is_base_of(key) for k in keys)]
