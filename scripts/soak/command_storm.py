"""Crash storm on the command: SIGKILL of saves and prunes at random instants.

What must hold after every kill, before anything is cleaned up: a restore gives, on every rank, one
whole step, no older than the last that was reported durable, and every bit is what that step's
number says. And after `bitsnap repair --min-age 0` nothing is left over.
"""

import json
import random
import struct
import subprocess
import time
from collections import Counter
from pathlib import Path

from leftovers import Broken, check_names

BINARY = Path(__file__).parents[2] / "build/release/bitsnap"
ELEMENTS = 20_000
OPTIMIZER = "optimizer."
RETENTION = ("--keep-last", "2", "--keep-every", "5", "--drop-optimizer-older-than", "4")


def content_of(step, rank):
    """The tensors of a step, from its number alone: name -> (dtype, shape, bytes)."""
    weight = bytearray(random.Random(rank).randbytes(2 * ELEMENTS))
    changes = random.Random(step)
    for position in changes.sample(range(0, 2 * ELEMENTS, 2), ELEMENTS // 100):
        weight[position] ^= 1
    # The moments change every few steps only, so that some steps lean on a base and some do not.
    moments = random.Random(step // 3).randbytes(4 * ELEMENTS)
    return {
        "model.w": ("BF16", [ELEMENTS], bytes(weight)),
        OPTIMIZER + "state.w.exp_avg": ("F32", [ELEMENTS], moments),
        OPTIMIZER + "state.w.exp_avg_sq": ("F32", [ELEMENTS], moments[::-1]),
        "step": ("U64", [1], struct.pack("<Q", step)),
    }


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    body = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def read_safetensors(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


class CommandStorm:
    """One store under fire. `folder` must be empty; `ranks` processes save each step."""

    def __init__(self, folder, ranks, seed, binary=BINARY):
        self.folder, self.ranks, self.binary = Path(folder), ranks, binary
        self.store = self.folder / "store"
        self.random = random.Random(seed)
        self.durable = 0  # the last step that all ranks have reported
        self.newest = 0  # as last restored
        self.seconds = 0.05  # that saving a step takes, about
        self.counts = Counter()

    def start(self, *args):
        return subprocess.Popen(
            [self.binary, *map(str, args)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )

    def ask(self, *args):
        result = subprocess.run(
            [self.binary, *map(str, args), "--json"], capture_output=True, stdin=subprocess.DEVNULL
        )
        if result.returncode != 0:
            raise Broken(f"{' '.join(map(str, args))}: {result.stdout.decode()}")
        return json.loads(result.stdout)

    def run(self, kills, progress=lambda done: None):
        self.save(1, None)
        self.check()
        while self.counts["kills"] < kills:
            self.round()
            self.check()
            # Nothing has to be cleaned up, so often nothing is.
            if self.random.random() < 0.4:
                self.repair()
            progress(self.counts["kills"])
        self.repair()
        self.check_all()

    def round(self):
        """Saves the next step, as training resumed from the newest one would, and kills somebody."""
        step = self.newest + 1
        victims = [*range(self.ranks)]
        prunes = self.random.random() < 0.3
        if prunes:
            victims.append("prune")
        self.save(step, self.random.choice(victims), prunes)

    def save(self, step, victim, prunes=False):
        save_id = self.random.getrandbits(64)
        processes = {}
        for rank in range(self.ranks):
            write_safetensors(self.folder / f"in-{rank}", content_of(step, rank))
        begin = time.monotonic()
        for rank in range(self.ranks):
            processes[rank] = self.start(
                "save", self.store, self.folder / f"in-{rank}", "--step", step, "--overwrite",
                "--rank", rank, "--world-size", self.ranks, "--save-id", save_id, "--threads", 1,
            )
        if prunes:
            processes["prune"] = self.start("prune", self.store, *RETENTION)
        if victim is not None:
            self.kill(processes[victim], step, victim)
        codes = {}
        for name, process in processes.items():
            message = process.communicate()[1].decode()
            codes[name] = process.returncode
            if name != victim and process.returncode != 0:
                raise Broken(f"{name} of step {step} failed: {message}")
        if victim is None:
            self.seconds = time.monotonic() - begin
        if all(codes[rank] == 0 for rank in range(self.ranks)):
            self.durable = step
            self.counts["durable"] += 1

    def kill(self, process, step, victim):
        """At any instant, or soon after the file appeared: while it is written and committed."""
        if victim != "prune" and self.random.random() < 0.5:
            folder = self.store / f"step-{step:08}"
            pattern = f".rank-{victim:05}*.tmp-{process.pid}-*"
            while process.poll() is None and not any(folder.glob(pattern)):
                pass
            time.sleep(self.random.uniform(0, 0.3) * self.seconds)
        else:
            time.sleep(self.random.uniform(0, 1.2) * self.seconds)
        process.kill()
        process.wait()
        if process.returncode < 0:
            self.counts["kills"] += 1
            self.counts[f"kills of {'a prune' if victim == 'prune' else 'a save'}"] += 1

    def check(self):
        """Every rank restores the same whole step, and it is what its number says."""
        steps = set()
        for rank in range(self.ranks):
            out = self.folder / "out"
            told = self.ask("restore", self.store, "--rank", rank, "-o", out, "--force")
            steps.add(told["step"])
            if read_safetensors(out) != content_of(told["step"], rank):
                raise Broken(f"step {told['step']}, rank {rank}: other bits came back")
        if len(steps) != 1:
            raise Broken(f"ranks restored different steps: {sorted(steps)}")
        (self.newest,) = steps
        if self.newest < self.durable:
            raise Broken(f"step {self.durable} was durable, {self.newest} came back")
        if self.newest > self.durable:
            self.counts["whole though not reported"] += 1

    def repair(self):
        """Afterwards nothing is left over, by the names alone."""
        self.counts["leftovers"] += len(self.ask("repair", self.store, "--min-age", 0)["repaired"])
        self.counts["repairs"] += 1
        again = self.ask("repair", self.store, "--min-age", 0, "--dry-run")
        if again["repaired"] or again["left"]:
            raise Broken(f"repair left something: {again}")
        check_names(self.store, self.ranks)

    def check_all(self):
        """Every step that is there: weights always, optimizer states where they were not dropped."""
        if not self.ask("verify", self.store)["sound"]:
            raise Broken("verify found damage")
        for entry in self.ask("ls", self.store):
            for rank in range(self.ranks):
                out = self.folder / "out"
                self.ask("restore", self.store, "--step", entry["step"], "--rank", rank, "-o", out, "--force")
                got, want = read_safetensors(out), content_of(entry["step"], rank)
                dropped = {name for name in want if name not in got}
                if any(not name.startswith(OPTIMIZER) for name in dropped) or any(
                    got[name] != want[name] for name in got
                ):
                    raise Broken(f"step {entry['step']}, rank {rank}: other bits came back")
        self.counts["steps in the end"] = len(self.ask("ls", self.store))
