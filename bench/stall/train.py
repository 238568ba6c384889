"""One training run that saves in one way, and what that cost it, as a line of JSON.

Run by run.py, in a process of its own for each way.
"""

import argparse
import ctypes
import json
import sys
import time
import warnings
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "bench")]

from gpt import Config, Training  # noqa: E402
from memcpy import COPY_THREADS, seconds_of_memcpy  # noqa: E402
from processes import processor_seconds  # noqa: E402
from savers import SAVERS  # noqa: E402

SIZES = {
    "tiny": dict(layers=2, width=64, heads=2, context=32, batch=1),
    "full": dict(layers=5, width=1024, heads=16, context=64, batch=1),  # 63 million parameters
}
WARM_UP = 3  # steps before the clock starts: the optimizer's state is made in the first


def state_of(training: Training) -> dict:
    """All that has to be saved, as torch.save and DCP take it."""
    return {
        "model": training.model.state_dict(),
        "masters": {str(i): master for i, master in enumerate(training.masters)},
        "optimizer": {
            f"{i}.{key}": value
            for i, master in enumerate(training.masters)
            for key, value in training.optimizer.state[master].items()
        },
    }


def tensors_of(state: dict) -> list[torch.Tensor]:
    return [tensor for part in state.values() for tensor in part.values()]


def adopt_detached_processes() -> None:
    """The agent detaches itself; what it uses is to be counted here."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def run(options: argparse.Namespace) -> dict:
    training = Training(Config(steps=1000, warmup=10, final_lr=3e-5, **SIZES[options.size]), 1)
    for _ in range(WARM_UP):
        training.train_step()
    adopt_detached_processes()
    saver = SAVERS[options.way](options.folder)
    print("ready", flush=True)  # from here on, run.py looks at our memory

    blocked = []
    processor = processor_seconds()
    started = time.perf_counter()
    saver.prepare(training)
    for step in range(1, options.steps + 1):
        training.train_step()
        if step % options.every == 0:
            before = time.perf_counter()
            saver.save(step, training, state_of(training))
            blocked.append(time.perf_counter() - before)
    trained = time.perf_counter() - started
    saver.finish()
    total = time.perf_counter() - started
    processor = processor_seconds() - processor
    print("done", flush=True)

    size = sum(t.numel() * t.element_size() for t in tensors_of(state_of(training)))
    return {
        "parameters": sum(p.numel() for p in training.masters),
        "state_bytes": size,
        "saves": len(blocked),
        "trained_s": trained,
        "total_s": total,
        "processor_s": processor,
        "blocked_first_s": blocked[0] if blocked else 0,
        "blocked_s": sum(blocked[1:]) / max(1, len(blocked) - 1),
        "lag_s": max(saver.lags, default=0),
        "memcpy_s": seconds_of_memcpy(size, 1),
        "memcpy_threads": COPY_THREADS,
        "memcpy_threads_s": seconds_of_memcpy(size, COPY_THREADS),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=SAVERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--steps", type=int, default=79)
    parser.add_argument("--every", type=int, default=10)
    warnings.simplefilter("ignore")
    print(json.dumps(run(parser.parse_args())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
