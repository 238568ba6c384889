#!/usr/bin/env python3
"""Crash storm: kills and fails whoever saves, damages files, and checks the store after each."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import strike
from leftovers import Broken

# Who saves, and their shares of the kills: a training run takes longer.
ENGINES = {"command": 2, "thread": 1, "agent": 1}


def storm_of(engine, folder, ranks, seed):
    if engine == "command":
        from command_storm import CommandStorm

        return CommandStorm(folder, ranks, seed)
    from trainer_storm import TrainerStorm

    return TrainerStorm(folder, ranks, seed, engine)


def run(engine, ranks, kills, seed):
    folder = Path(tempfile.mkdtemp(prefix="bitsnap-soak-"))
    begin = time.monotonic()
    label = f"{engine}, {ranks} rank(s)"

    def progress(done):
        if sys.stderr.isatty():
            print(f"\r{label}: {done} of {kills} kills", end="", file=sys.stderr, flush=True)

    storm = storm_of(engine, folder, ranks, seed)
    try:
        storm.run(kills, progress)
    except Broken as broken:
        print("\n".join(storm.account.history[-20:]))
        raise Broken(f"{label}, seed {seed}: {broken} (kept for a look: {folder})") from None
    shutil.rmtree(folder)
    told = ", ".join(f"{count} {what}" for what, count in storm.counts.items())
    print(f"\r{label}: {told}; {time.monotonic() - begin:.0f} s", flush=True)


def preload():
    """Training runs are forked, so that their parent must have been started with the library."""
    library = str(strike.library())
    if os.environ.get("LD_PRELOAD") != library:
        os.environ["LD_PRELOAD"] = library
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="in all")
    parser.add_argument(
        "--engine", action="append", choices=[*ENGINES],
        help="who saves: the command, or training runs with this engine (default: each)",
    )  # fmt: skip
    parser.add_argument("--ranks", action="append", type=int, help="default: 1 and 4, half each")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments = parser.parse_args()
    ranks = arguments.ranks or [1, 4]
    shares = {engine: ENGINES[engine] for engine in arguments.engine or ENGINES}
    preload()
    print(f"seed {arguments.seed}", flush=True)
    for engine, share in shares.items():
        kills = arguments.kills * share // (sum(shares.values()) * len(ranks))
        for count in ranks:
            run(engine, count, kills, arguments.seed)
    print("no promise broken")


if __name__ == "__main__":
    try:
        main()
    except Broken as failure:
        sys.exit(f"soak: {failure}")
