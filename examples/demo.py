"""Trains the same model twice, kills one of the runs twice, and compares them bit for bit."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
SAVE_EVERY = 10
SIGKILLED = -9
# Threads that wait sleep instead of spinning: on a busy machine that is ten times faster.
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}


class Failed(Exception):
    """A run did not end as the story says."""


def run(title: str, folder: Path, *arguments: object, die_at: int | None = None) -> None:
    """Trains in a new process, and in a session of its own so that Ctrl-C is ours to handle."""
    print(f"\n{title}", flush=True)
    command = [sys.executable, EXAMPLES / "train.py", "--store", folder / "store", "--out", folder]
    command += ["--save-every", SAVE_EVERY, *arguments]
    if die_at is not None:
        command += ["--die-at-step", die_at]
    words = [str(word) for word in command]
    process = subprocess.Popen(words, env=ENVIRONMENT, start_new_session=True)
    try:
        code = process.wait()
    finally:
        process.kill()
    if code != (0 if die_at is None else SIGKILLED):
        raise Failed(f"the training process ended with {code}")
    if die_at is not None:
        # On a terminal the progress line was left unfinished.
        print("\n" * sys.stdout.isatty() + "  killed by SIGKILL", flush=True)


def train(out: Path, steps: int, size: str) -> None:
    saves = steps // SAVE_EVERY
    between = SAVE_EVERY * (saves // 2) + SAVE_EVERY // 2
    during = SAVE_EVERY * (saves - 1)  # by then saves lean on a base
    arguments = ["--steps", steps, "--size", size]
    print("A GPT with bf16 weights, fp32 masters and AdamW learns to write Python. Every")
    print(f"{SAVE_EVERY} steps it saves all of its state through BitSnap, in {out}.")
    a, b = out / "a", out / "b"
    run(f"Run A is left alone for {steps} steps.", a, *arguments)
    run(f"Run B, the same again, dies after step {between}.", b, *arguments, die_at=between)
    run(f"Run B goes on, and dies in its save of step {during}.", b, *arguments, die_at=during)
    run("Run B goes on to the end.", b, *arguments)


def report(out: Path) -> int:
    import demo_report  # after the training: Ctrl-C in a slow import is ugly

    a, b = out / "a", out / "b"
    saves = demo_report.events(a / "log.jsonl", "save")
    demo_report.plot(saves, demo_report.events(a / "log.jsonl", "step"), out / "demo.png")
    print(f"\nRun A's saves:\n\n{demo_report.table(saves)}\n\nAs a picture: {out / 'demo.png'}\n")
    for life in demo_report.lives(b / "log.jsonl"):
        print(f"Run B was {life} from {b / 'store'}.")
    differences = demo_report.verdict(a, b)
    if differences:
        shown = differences[: demo_report.MOST_LINES]
        print("DIFFERENT:", *shown, f"({len(differences)} differences in all)", sep="\n  ")
        return 1
    print("bit-identical: weights, masters, Adam states, RNG and the loss of every step")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--size", choices=["tiny", "demo"], default="demo")
    return parser.parse_args()


def main() -> int:
    options = parse()
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, lambda number, frame: sys.exit(128 + number))
    started = time.monotonic()
    for name in ("a", "b"):
        shutil.rmtree(options.out / name, ignore_errors=True)
    try:
        train(options.out, options.steps, options.size)
        code = report(options.out)
    except KeyboardInterrupt:
        print(f"\ninterrupted; what was done so far is in {options.out}", file=sys.stderr)
        return 130
    except Failed as failure:
        print(f"\nthe demo failed: {failure}", file=sys.stderr)
        return 1
    print(f"{time.monotonic() - started:.0f} seconds in all")
    return code


if __name__ == "__main__":
    sys.exit(main())
