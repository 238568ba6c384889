"""Writes a real run's checkpoints as safetensors files, to measure codecs on."""

import argparse
import sys
import time
from pathlib import Path

from gpt import Config, Training
from progress import Progress
from safetensors.torch import save_file


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", required=True, metavar="N,N,…", help="write these steps")
    parser.add_argument("--max-steps", type=int, default=600, help="length of the schedule")
    parser.add_argument("--out", type=Path, default=Path("runs/trace"))
    options = parser.parse_args()
    options.steps = {int(step) for step in options.steps.split(",")}
    if not options.steps <= set(range(1, options.max_steps + 1)):
        parser.error("--steps must lie between 1 and --max-steps")
    return options


def main() -> int:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    config = Config(steps=options.max_steps, warmup=50, final_lr=3e-5)
    training = Training(config, seed=1)
    progress = Progress(max(options.steps), config.batch * config.context)
    while training.step < max(options.steps):
        started = time.perf_counter()
        loss = training.train_step()
        progress.show(training.step, loss, time.perf_counter() - started)
        if training.step in options.steps:
            path = options.out / f"step-{training.step:08}.safetensors"
            save_file(training.tensors(), path)
    progress.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
