"""What saving costs a training run: each way of saving in a process of its own, into a CSV file."""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from processes import memory_of, processes_below
from savers import SAVERS

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "bench/results/stall.csv"
MEASURES = [
    "parameters", "state_bytes", "saves", "trained_s", "total_s", "processor_s", "blocked_first_s",
    "blocked_s", "lag_s", "memcpy_s", "memcpy_threads", "memcpy_threads_s", "peak_bytes", "written_bytes",
    "note",
]  # fmt: skip
LONGEST = 300  # seconds that one way may take


class PeakMemory:
    """Watches a process and those that it starts, from begin() to end()."""

    def __init__(self, process: int) -> None:
        self.process, self.peak = process, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def begin(self) -> None:
        self.thread.start()

    def end(self) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            try:
                both = [memory_of(process) for process in processes_below(self.process)]
            except FileNotFoundError:
                continue
            own, shared = sum(b[0] for b in both), max(b[1] for b in both)
            self.peak = max(self.peak, own + shared)


def bytes_below(folder: Path) -> int:
    """Of each file once, however many hard links it has."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({s.st_ino: s.st_size for s in stats}.values())


def measure(way: str, scratch: Path, arguments: list[str]) -> dict:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    command = [sys.executable, str(HERE / "train.py"), way, str(folder), *arguments]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            watchdog = threading.Timer(LONGEST, process.kill)
            watchdog.start()
            memory, last = PeakMemory(process.pid), ""
            for line in process.stdout:
                last = line
                if line == "ready\n":
                    memory.begin()
                elif line == "done\n":
                    memory.end()
            memory.end()
            watchdog.cancel()
        if process.returncode != 0:
            return {"note": f"ended with {process.returncode}"}
        written = bytes_below(folder)
        return {**json.loads(last), "peak_bytes": memory.peak, "written_bytes": written}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rows_of(path: Path) -> list[dict]:
    if not path.exists():
        return []
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict]) -> None:
    """In the order of SAVERS, whatever was measured last."""
    rows.sort(key=lambda row: list(SAVERS).index(row["way"]))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["way", *MEASURES])
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, help="where to save (default: the temporary folder)")
    parser.add_argument("--csv", type=Path, default=RESULTS)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument(
        "--only", action="append", choices=SAVERS, help="of these, beside what the CSV file has"
    )
    options, arguments = parser.parse_known_args()  # the rest is train.py's
    ways = options.only or list(SAVERS)
    kept = [row for row in rows_of(options.csv) if row["way"] in SAVERS and row["way"] not in ways]
    measured: list[dict] = []
    for way in options.repeat * ways:
        started = time.monotonic()
        measured.append({"way": way, **measure(way, options.scratch, arguments)})
        write(options.csv, kept + measured)
        note = measured[-1].get("note", "")
        print(f"{way}: {time.monotonic() - started:.0f} s {note}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
