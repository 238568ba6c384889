"""Does a lossy checkpoint hurt? Trains, saves, restores, goes on, and compares losses.

What was measured before, with the same settings, machine and build, is not measured again.
"""

import argparse
import csv
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import bitsnap
import torch
from bitsnap import _native

sys.path.insert(0, str(Path(__file__).resolve().parent))

from continuation import (
    RUN_SEED,
    Config,
    Restorer,
    Settings,
    choose_order,
    drop_optimizer,
    go_on,
    new_training,
    nudge_masters,
    read_trunk,
    write_trunk,
)

LOSSLESS = ("exact", "fast")
OFTEN_ORDERS = 3  # data orders of the runs that lossy profiles restore again and again
UNINTERRUPTED = "uninterrupted"
CONTROLS = {"masters off by one ULP": nudge_masters, "no optimizer state": drop_optimizer}

FULL = Settings(
    config=Config(steps=600, warmup=50, final_lr=3e-5),
    start=300,
    marks=(1, 20, 60, 100),
    restore_every=10,
    orders=5,
    held_out=128,
)
TINY = dict(layers=1, width=32, heads=2, context=16, batch=2, threads=1)
QUICK = Settings(
    config=Config(steps=60, warmup=5, final_lr=3e-5, **TINY),
    start=30,
    marks=(1, 2, 6, 10),
    restore_every=1,
    orders=5,
    held_out=64,
)


@dataclass(frozen=True)
class Run:
    """One continuation. `name` is a profile, a control or UNINTERRUPTED."""

    beta2: float
    name: str
    restores: int
    order: int = 0

    def __str__(self) -> str:
        return f"b2 {self.beta2}, {self.name}, {self.restores} restores, order {self.order}"

    def file_name(self) -> str:
        words = (self.beta2, self.name.replace(" ", "-"), self.restores, self.order)
        return "-".join(map(str, words))


def runs(settings: Settings, beta2s: list[float]) -> Iterator[Run]:
    """The first of each beta2 trains the trunk that the others start from."""
    often = (settings.marks[-1] - 1) // settings.restore_every + 1
    for beta2 in beta2s:
        for order in range(settings.orders):
            yield Run(beta2, UNINTERRUPTED, 0, order)
        for profile in bitsnap.PROFILES:
            yield Run(beta2, profile, 1)
        for profile in bitsnap.PROFILES:
            for order in range(1 if profile in LOSSLESS else OFTEN_ORDERS):
                yield Run(beta2, profile, often, order)
        for control in CONTROLS:
            yield Run(beta2, control, 0)


class Bench:
    def __init__(self, settings: Settings, out: Path) -> None:
        self.settings = settings
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self.identity = {
            "settings": json.loads(json.dumps(asdict(settings))),
            "machine": machine(settings.config.threads),
            "bitsnap": hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest(),
        }

    def result(self, run: Run) -> dict:
        """From the file of an earlier try where there is one that fits."""
        path = self.out / f"{run.file_name()}.json"
        identity = dict(self.identity)
        if run.name not in bitsnap.PROFILES:
            del identity["bitsnap"]
        if path.exists():
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["identity"] == identity:
                return result
        started = time.perf_counter()
        result = self.measure(run)
        result |= {"identity": identity, "seconds": time.perf_counter() - started}
        unfinished = path.with_suffix(".partial")
        unfinished.write_text(json.dumps(result, indent=1), encoding="utf-8")
        unfinished.rename(path)
        return result

    def measure(self, run: Run) -> dict:
        config = replace(self.settings.config, beta2=run.beta2)
        settings = replace(self.settings, config=config)
        trunk = self.out / f"trunk-{run.beta2}.pt"
        if run.name == UNINTERRUPTED and run.order == 0:
            training = new_training(settings, RUN_SEED)
            while training.step < settings.start:
                training.train_step()
            write_trunk(training, trunk)
            return go_on(training, settings)
        training = read_trunk(settings, trunk)
        choose_order(run.order)
        if run.name in CONTROLS:
            training = CONTROLS[run.name](training)
        if run.name not in bitsnap.PROFILES:
            return go_on(training, settings)
        restore = Restorer(settings, run.name, self.out / "stores" / run.file_name())
        training = restore(training)
        result = go_on(training, settings, restore if run.restores > 1 else None)
        return result | {"saves": restore.saves}


def machine(threads: int) -> str:
    models = (
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    )
    cpu = next(models, os.uname().machine)
    return f"{cpu}, {os.cpu_count()} cores, {threads} threads, torch {torch.__version__}"


def row(run: Run, result: dict, reference: dict) -> dict:
    """A line of the CSV; gaps are to the reference."""
    losses = result["losses"]
    return {
        "beta2": run.beta2,
        "run": run.name,
        "restores": run.restores,
        "order": run.order,
        **{f"loss_{mark}": loss for mark, loss in losses.items()},
        **{f"gap_{mark}": loss - reference["losses"][mark] for mark, loss in losses.items()},
        **about_saves(result.get("saves", [])),
        "bit_identical": result["digest"] == reference["digest"],
        "seconds": round(result["seconds"], 1),
        "machine": result["identity"]["machine"],
    }


def about_saves(saves: list[dict]) -> dict:
    """All bytes together, the worst errors, the mean scale."""

    def values(field: str) -> list[float]:
        return [save[field] for save in saves if save[field] is not None]

    return {
        "ratio": sum(values("raw_bytes")) / sum(values("stored_bytes")) if saves else None,
        "deltas": len(values("base_step")) if saves else None,
        "stated_error": max(values("stated_error"), default=None),
        "measured_error": max(values("measured_error"), default=None),
        "scale": sum(values("scale")) / len(saves) if saves else None,
    }


def measure(settings: Settings, beta2s: list[float], out: Path) -> list[dict]:
    bench, rows = Bench(settings, out), []
    uninterrupted: dict[tuple[float, int], dict] = {}
    for run in runs(settings, beta2s):
        result = bench.result(run)
        order = run.order
        if run.name == UNINTERRUPTED:
            uninterrupted[run.beta2, order] = result
            order = 0  # all of them are compared with the run's own order
        rows.append(row(run, result, uninterrupted[run.beta2, order]))
        gap = rows[-1][f"gap_{settings.marks[-1]}"]
        print(f"{run}: gap {gap:+.5f}, {result['seconds']:.0f} s", flush=True)
    return rows


def broken_promises(rows: list[dict]) -> list[str]:
    return [
        f"b2 {row['beta2']}, {row['run']}, restores {row['restores']}: not bit-identical"
        for row in rows
        if row["run"] in LOSSLESS and not row["bit_identical"]
    ]


def write_csv(rows: list[dict], path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny model: does it work at all?")
    parser.add_argument("--beta2", type=float, nargs="+", default=[0.95, 0.999])
    parser.add_argument("--out", type=Path, help="default: runs/quality or runs/quality-quick")
    parser.add_argument("--csv", type=Path, help="default: quality.csv in the folder above")
    return parser.parse_args()


def main() -> int:
    options = parse()
    settings = QUICK if options.quick else FULL
    out = options.out or Path("runs/quality-quick" if options.quick else "runs/quality")
    try:
        rows = measure(settings, options.beta2, out)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from the last line above", file=sys.stderr)
        return 130
    write_csv(rows, options.csv or out / "quality.csv")
    broken = broken_promises(rows)
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
