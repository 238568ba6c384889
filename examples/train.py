"""One training run that saves through BitSnap and goes on from whatever its store holds."""

import argparse
import dataclasses
import json
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from bitsnap import BitSnapError
from bitsnap.torch import Checkpointer
from gpt import Config, Training
from progress import Progress
from safetensors.torch import save_file

TINY = dict(layers=1, width=32, heads=2, context=16, batch=2, threads=1)


class ChangedFraction:
    """How many of the 16-bit weights differ from the save's base, or else from the last save."""

    def __init__(self) -> None:
        self.copies: dict[int, torch.Tensor] = {}

    def measure(self, report, weights: torch.Tensor) -> float | None:
        """None for the first save of a process, which has nothing to compare with."""
        last = max(self.copies, default=None)
        against = report.base_step if report.base_step in self.copies else last
        changed = None
        if against is not None:
            changed = (weights != self.copies[against]).float().mean().item()
        bases = {report.base_step, report.step}
        self.copies = {step: copy for step, copy in self.copies.items() if step in bases}
        self.copies[report.step] = weights
        return changed


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_when_writing(store: Path) -> None:
    """Starts a thread that kills this process once a new file in the store has its first bytes."""
    before = set(store.rglob("*"))

    def writing() -> bool:
        return any(p.is_file() and p.stat().st_size for p in set(store.rglob("*")) - before)

    def watch() -> None:
        with suppress(FileNotFoundError):  # renamed already: too late, but not to die
            while not writing():
                time.sleep(0.001)
        die()

    threading.Thread(target=watch, daemon=True).start()


def schedule(steps: int, size: dict) -> Config:
    """Warm-up, decay, and a last sixth as slow as fine-tuning: from many changes to few."""
    return Config(steps=steps * 5 // 6, warmup=steps // 8, final_lr=3e-7, **size)


class Run:
    """A training run and where it keeps its state."""

    def __init__(self, options: argparse.Namespace) -> None:
        size = TINY if options.size == "tiny" else {}
        config = schedule(options.steps, size)
        self.options = options
        self.training = Training(config, options.seed)
        self.checkpointer = Checkpointer(options.store, profile="exact", engine="sync")
        self.progress = Progress(options.steps, config.batch * config.context)
        self.changed = ChangedFraction()
        options.out.mkdir(parents=True, exist_ok=True)
        self.log = options.out / "log.jsonl"

    def resume(self) -> None:
        training = self.training
        with warnings.catch_warnings(action="ignore"):  # said below, in the run's own words
            step = self.checkpointer.restore(model=training.model, optimizer=training.optimizer)
        for passed in self.checkpointer.passed_over:
            print(f"  passed over: {passed.error}", flush=True)
        if step is None:
            self.note(event="start")
            return
        training.step = step
        torch.set_rng_state(self.checkpointer.extra["rng"])
        print(f"  restored step {step} from {self.options.store}", flush=True)
        self.note(event="resume", step=step)

    def train(self) -> None:
        options, training = self.options, self.training
        while training.step < options.steps:
            rate = training.config.learning_rate(training.step)
            started = time.perf_counter()
            loss = training.train_step()
            self.progress.show(training.step, loss, time.perf_counter() - started)
            self.note(event="step", step=training.step, loss=loss, learning_rate=rate)
            dies = training.step == options.die_at_step
            if training.step % options.save_every == 0:
                if dies:
                    die_when_writing(options.store)
                self.save()
            if dies:
                die()
        self.progress.end()

    def save(self) -> None:
        training = self.training
        report = self.checkpointer.save(
            training.step,
            model=training.model,
            optimizer=training.optimizer,
            extra={"rng": torch.get_rng_state()},
        ).result()
        changed = self.changed.measure(report, training.weights16())
        self.note(event="save", changed=changed, **dataclasses.asdict(report))

    def finish(self) -> None:
        """Writes all that must be the same, bit for bit, however often the run was killed."""
        tensors = {name: t.contiguous() for name, t in self.training.tensors().items()}
        tensors["rng"] = torch.get_rng_state()
        save_file(tensors, self.options.out / "final.safetensors")

    def note(self, **event) -> None:
        with open(self.log, "a", encoding="utf-8") as log:
            print(json.dumps(event), file=log)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True, help="where to save and resume from")
    parser.add_argument("--out", type=Path, required=True, help="for the log and the final state")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--save-every", type=int, default=10, metavar="STEPS")
    parser.add_argument("--die-at-step", type=int, metavar="N", help="SIGKILL, in the save if any")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", choices=["tiny", "demo"], default="demo")
    return parser.parse_args(arguments)


def main() -> int:
    try:
        run = Run(parse())
        run.resume()
        run.train()
        run.finish()
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from the last save", file=sys.stderr)
        return 130
    except BitSnapError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
