"""Writes checkpoints of a real run, pre-training and fine-tuning, to measure codecs on.

The run of FINDINGS.md: what is there already is not written again.
"""

import argparse
import sys
import time
from pathlib import Path

from gpt import Config, Training
from progress import Progress
from safetensors.torch import save_file

# By phase: the schedule, and the steps that are written, as `<phase>-<step>.safetensors`.
PHASES = {
    "step": (
        Config(steps=600, warmup=50, final_lr=3e-5),
        [50, 100, 300, 301, 310, 350, 590, 599, 600],
    ),
    "ft": (
        Config(steps=110, warmup=0, peak_lr=5e-6, final_lr=5e-6, beta2=0.999),
        [60, 61, 70, 110],
    ),
}


def path_of(folder: Path, phase: str, step: int) -> Path:
    return folder / f"{phase}-{step:08}.safetensors"


def write(training: Training, path: Path) -> None:
    """Under its name only when it is complete: others may be waiting for it."""
    unfinished = path.with_suffix(".partial")
    save_file(training.tensors(), unfinished)
    unfinished.rename(path)


def train(training: Training, phase: str, folder: Path) -> None:
    config, steps = PHASES[phase]
    training.start_phase(config)
    progress = Progress(config.steps, config.batch * config.context)
    while training.step < config.steps:
        started = time.perf_counter()
        loss = training.train_step()
        progress.show(training.step, loss, time.perf_counter() - started)
        path = path_of(folder, phase, training.step)
        if training.step in steps and not path.exists():
            write(training, path)
    progress.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/trace"))
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    paths = [path_of(folder, phase, step) for phase in PHASES for step in PHASES[phase][1]]
    if all(path.exists() for path in paths):
        print(f"the trace is complete: {folder}")
        return 0
    training = Training(PHASES["step"][0], seed=1)
    for phase in PHASES:
        train(training, phase, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
