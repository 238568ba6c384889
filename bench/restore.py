"""How fast a state comes back, from disk and from the agent's memory, into a CSV file and its table.

The state is that of examples/gpt.py at the size that bench/stall trains, after a few steps. Files are
in the page cache, targets are tensors in use, each figure is the best of a few.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import bitsnap
from bitsnap.torch import Checkpointer

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH / "stall"), str(BENCH.parent / "examples")]

from gpt import Config, Training  # noqa: E402
from memcpy import seconds_of_memcpy  # noqa: E402
from train import SIZES  # noqa: E402

RESULTS = BENCH / "results/restore.csv"
PAGE = BENCH.parent / "docs/benchmarks.md"
BEGIN, END = "<!-- restore -->", "<!-- end of restore -->"
FIELDS = ["profile", "source", "threads", "bytes", "seconds", "memcpy_s", "first_tensor_s"]
BASE, DELTA = 3, 6  # steps
REPEATS = 5


def best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def from_disk(store: bitsnap.Store, step: int, threads: int) -> float:
    snapshot = store.open_step(step)
    targets = [(t.name, np.zeros(t.raw_bytes, np.uint8)) for t in snapshot.tensors]
    return best(lambda: store.open_step(step).read_into(targets, threads=threads))


def first_tensor(path: Path, step: int) -> float:
    """From nothing to the first weight of the model."""
    name, size = next(
        (t.name, t.raw_bytes) for t in bitsnap.Store(path).open_step(step).tensors if t.raw_bytes
    )
    target = np.zeros(size, np.uint8)
    return best(lambda: bitsnap.Store(path).open_step(step).read_into([(name, target)]))


def by_checkpointer(ckpt: Checkpointer, training: Training, source: str) -> float:
    def restore() -> None:
        ckpt.restore(training.model, training.optimizer)
        if (came_from := getattr(ckpt, "restored_from", "disk")) != source:
            raise RuntimeError(f"restored from {came_from}, not from {source}")

    return best(restore)


def measure(profile: str, size: str, scratch: Path) -> Iterator[dict]:
    """Of one profile: from disk by threads, with and without a base, then from memory."""
    training = Training(Config(steps=1000, warmup=10, final_lr=3e-5, **SIZES[size]), 1)
    path = scratch / profile
    with Checkpointer(path, profile) as ckpt:
        for step in range(1, DELTA + 1):
            training.train_step()
            if step in (BASE, DELTA):
                ckpt.save(step, training.model, training.optimizer).wait()
    store = bitsnap.Store(path)
    state_bytes = sum(t.raw_bytes for t in store.open_step(DELTA).tensors)

    def row(source: str, threads: int, seconds: float, first: float | str = "") -> dict:
        memcpy = seconds_of_memcpy(state_bytes, threads)
        print(f"{profile}, {source}, {threads} thread(s): {seconds:.3f} s, memcpy {memcpy:.3f} s")
        return dict(zip(FIELDS, [profile, source, threads, state_bytes, seconds, memcpy, first]))

    for step, what in ((BASE, "disk, no base"), (DELTA, "disk, with its base")):
        first = first_tensor(path, step)
        for threads in (1, os.cpu_count() or 1):
            yield row(what, threads, from_disk(store, step, threads), first)
    threads = os.cpu_count() or 1
    with Checkpointer(path, profile) as ckpt:
        yield row("disk, Checkpointer", threads, by_checkpointer(ckpt, training, "disk"))
    with Checkpointer(path, profile, engine="agent") as ckpt:
        ckpt.save(DELTA + 1, training.model, training.optimizer).wait()
        yield row("agent's memory, Checkpointer", threads, by_checkpointer(ckpt, training, "memory"))


def table(rows: list[dict]) -> str:
    head = ["profile", "from", "threads", "s", "GB/s", "of memcpy", "first tensor ms"]
    lines = [head, ["---", "---", *["--:"] * (len(head) - 2)]]
    for row in rows:
        seconds, size = float(row["seconds"]), float(row["bytes"])
        share, first = float(row["memcpy_s"]) / seconds, row["first_tensor_s"]
        lines.append([
            f"`{row['profile']}`", row["source"], row["threads"], f"{seconds:.3f}",
            f"{size / seconds / 1e9:.1f}", f"{share:.2f}", f"{1e3 * float(first):.1f}" if first else "",
        ])  # fmt: skip
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    return f"A state of {float(rows[0]['bytes']) / 1e6:.0f} MB.\n\n{text}"


def write(path: Path, rows: list[dict]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE, help="whose table is replaced")
    parser.add_argument("--size", choices=SIZES, default="full")
    options = parser.parse_args()
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as scratch:
        for profile in ("fast", "exact"):
            for row in measure(profile, options.size, Path(scratch)):
                rows.append(row)
                write(options.csv, rows)
    head, rest = options.page.read_text(encoding="utf-8").split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    options.page.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
