"""What copying costs here, to compare with."""

import ctypes
import os
import time
from concurrent.futures import ThreadPoolExecutor

import torch

COPY_THREADS = min(4, os.cpu_count() or 1)  # as the engine copies


def seconds_of_memcpy(size: int, threads: int) -> float:
    """The best of a few copies of so many bytes by so many threads, into memory that is warm."""
    source, target = (torch.zeros(size, dtype=torch.uint8) for _ in range(2))
    step = size // threads + 1
    parts = [(start, min(size, start + step)) for start in range(0, size, step)]

    def copy(part: tuple[int, int]) -> None:
        start, end = part
        ctypes.memmove(target.data_ptr() + start, source.data_ptr() + start, end - start)

    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(7):
            started = time.perf_counter()
            list(pool.map(copy, parts))
            best = min(best, time.perf_counter() - started)
    return best
