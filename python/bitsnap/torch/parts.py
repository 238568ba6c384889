"""Bytes to send, a part at a time, so that a large file never lies in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Bytes of all parts but the last.
PART = 16 << 20


@dataclass(frozen=True)
class Content:
    size: int
    _read: Callable[[int, np.ndarray], None]  # fills an array with the bytes from a place on

    def parts(self) -> Iterator[np.ndarray]:
        """Always `size` bytes: zeros, which no checksum takes for good, where reading fails."""
        for first in range(0, self.size, PART):
            part = np.zeros(min(PART, self.size - first), np.uint8)
            self._read(first, part)
            yield part


def in_memory(buffer: Any) -> Content:
    content = np.frombuffer(buffer, np.uint8)

    def read(first: int, out: np.ndarray) -> None:
        out[:] = content[first : first + len(out)]

    return Content(len(content), read)


def on_disk(path: Path, size: int, until: ExitStack) -> Content:
    """Opens the file at once, since it may be removed before it is read; closed by `until`."""
    file = until.enter_context(path.open("rb", buffering=0))

    def read(first: int, out: np.ndarray) -> None:
        try:
            file.seek(first)
            while len(out) and (count := file.readinto(out)):
                out = out[count:]
        except OSError:
            out[:] = 0

    return Content(size, read)
