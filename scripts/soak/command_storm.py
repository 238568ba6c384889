"""Crash storm on the command: saves, overwrites and prunes that are killed, that fail and that meet
each other, and files that break.

What must hold after every round, before anything is cleaned up: a restore gives, on every rank,
one save that the account allows, to the bit. And after `bitsnap repair --min-age 0` nothing is left
over.
"""

import json
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random

import content
import strike
from account import Account
from commands import Running
from damage import damage_something, remove_damaged
from leftovers import Broken, check_names

BINARY = Path(__file__).parents[2] / "build/release/bitsnap"
RETENTIONS = (
    ("--keep-last", "2", "--keep-every", "5", "--drop-optimizer-older-than", "4"),
    ("--keep-last", "1"),
    ("--keep-last", "3"),
    ("--drop-optimizer-older-than", "2"),
    ("--abandoned",),
)
# What one of two savers of the same step is told.
REFUSALS = ("is saved already", "another process", "File exists")


class CommandStorm:
    """One store under fire. `folder` must be empty; `ranks` processes save each step."""

    def __init__(self, folder, ranks, seed, binary=BINARY):
        self.folder, self.ranks, self.binary = Path(folder), ranks, binary
        self.store = self.folder / "store"
        self.strikes = strike.Strikes(self.store, self.folder / "struck")
        self.random = Random(seed)
        self.account = Account()
        self.seconds = 0.05  # that saving a step takes, about
        self.has_damage = False
        self.counts = Counter()

    def run(self, kills, progress=lambda done: None):
        self.save_next(calm=True)
        self.check()
        while self.counts["kills"] < kills:
            self.round()
            self.check()
            if self.random.random() < 0.25 and self.damage():
                self.check()
            # Nothing has to be cleaned up, so often nothing is.
            if self.random.random() < 0.3:
                self.tidy()
                self.check()
            progress(self.counts["kills"])
        self.save_next(calm=True)
        self.check()
        self.remove_damaged()
        self.repair()
        self.check_all()

    # What a round does. All commands save for one run; training runs also go back.

    def round(self):
        rounds = {
            self.save_next: 55, self.save_older: 15, self.overwrite: 15, self.save_twice: 15,
        }  # fmt: skip
        (chosen,) = self.random.choices([*rounds], [*rounds.values()])
        self.counts[f"times {chosen.__name__}".replace("_", " ")] += 1
        chosen()

    def save_next(self, calm=False):
        """As training does that resumed from the newest save."""
        self.save([self.next_try()], calm)

    def next_try(self):
        parent = self.account.floor
        return self.account.attempt(parent.step + 1 if parent else 1, parent)

    def save_older(self):
        """Of a step that is lower than the newest, which stays the newest."""
        if self.account.floor.step == 1:
            return self.save_next()
        step = self.random.randint(1, self.account.floor.step - 1)
        self.save([self.account.attempt_below(step)])

    def overwrite(self):
        """Saves the newest step again.

        Of several ranks some may come through and others not, which is the end of that step. A
        prune beside that keeps only one step must not have kept this one.
        """
        newest, held = self.account.floor, self.held()
        if self.ranks > 1:
            if self.account.fallback(held, {newest}) is None:
                return self.save_next()
            self.account.damage({newest}, held)
        retentions = RETENTIONS if self.ranks == 1 else [RETENTIONS[0], RETENTIONS[2]]
        self.save([self.account.attempt(newest.step, newest.parent)], retentions=retentions)

    def save_twice(self):
        """Two savers of one rank and step. Of a single rank they bring different content."""
        tries = [self.next_try()]
        tries.append(self.account.attempt(tries[0].step, tries[0].parent))
        if self.ranks > 1:
            self.account.refused(tries.pop())
        self.save(tries, twice=True)

    # Processes, and what becomes of them.

    def save(self, tries, calm=False, twice=False, strike=None, retentions=RETENTIONS):
        """One process a rank; some rank has two when it is to be saved twice.

        Somebody is hit by something, unless it is `calm`; or else the first by `strike`. One of
        the `retentions` may be at work beside.
        """
        savers = [(save, rank) for save in tries for rank in range(self.ranks)]
        if twice and self.ranks > 1:
            savers.append((tries[0], self.random.randrange(self.ranks)))
        running = [Running(self.save_command(*saver), *saver) for saver in savers]
        if strike:
            running[0].hit, running[0].at_calls = "call", strike
        elif not calm:
            if self.random.random() < 0.4:
                retention = self.random.choice(retentions)
                running.append(Running(self.command("prune", self.store, *retention)))
            self.hit_one_of(running)
        self.run_all(running)
        self.judge(tries, running)

    def hit_one_of(self, running):
        if self.random.random() < 0.3:
            for process in running:
                process.at_calls = strike.slow(self.random)
        self.random.choice(running).choose_hit(self.random)

    def save_command(self, save, rank):
        path = self.folder / f"in-{save.number}-{rank}"
        content.write_safetensors(path, content.content_of(save.number, rank))
        taken = (self.store / f"step-{save.step:08}").exists()
        overwrite = ["--overwrite"] if taken or self.random.random() < 0.5 else []
        return self.command(
            "save", self.store, path, "--step", save.step, "--rank", rank, "--threads", 1,
            "--world-size", self.ranks, "--save-id", save.number, *overwrite,
        )  # fmt: skip

    def command(self, *args):
        return [self.binary, *map(str, args)]

    def run_all(self, running):
        begin = time.monotonic()
        for process in running:
            process.start(self.strikes)
        for process in running:
            if process.hit:
                process.strike(self.random, self.seconds, self.store)
        for process in running:
            process.finish()
        if not any(process.hit for process in running):
            self.seconds = time.monotonic() - begin
        for path in self.folder.glob("in-*"):
            path.unlink()

    def judge(self, tries, running):
        for process in running:
            self.count(process)
            if process.code != 0 and not process.hit and not self.is_refusal(process, running):
                raise Broken(f"{process} failed: {process.message}")
        done = [
            save for save in tries
            if {p.rank for p in running if p.save is save and p.code == 0} == {*range(self.ranks)}
        ]  # fmt: skip
        if self.ranks == 1:
            refused = {process.save for process in running if self.is_refusal(process, running)}
            for save in refused - {*done}:
                self.account.refused(save)
                tries.remove(save)
        self.counts["durable"] += bool(done)
        self.account.tell(", ".join(map(str, running)))
        newest = [save for save in tries if save in self.account.allowed]
        self.account.reported(*(([save], save if save in done else None) for save in newest))

    def is_refusal(self, process, running):
        twins = [p for p in running if p.save and (p.rank == process.rank)]
        told = any(text in process.message for text in REFUSALS)
        return process.code > 0 and process.save and len(twins) > 1 and told

    def count(self, process):
        what = "a prune" if process.save is None else "a save"
        if process.killed:
            self.counts["kills"] += 1
            self.counts[f"kills of {what} by {process.hit}"] += 1
        elif process.hit and process.code != 0:
            self.counts[f"{process.hit}s of {what}"] += 1

    # What restores.

    def ask(self, *args):
        result = subprocess.run(
            self.command(*args, "--json"), capture_output=True, stdin=subprocess.DEVNULL
        )
        if result.returncode != 0:
            raise Broken(f"{' '.join(map(str, args))}: {result.stdout.decode()}")
        return json.loads(result.stdout)

    def restore(self, rank, step=None):
        """The step, and its tensors."""
        out = self.folder / "out"
        out.unlink(missing_ok=True)
        chosen = [] if step is None else ["--step", step]
        told = self.ask("restore", self.store, "--rank", rank, *chosen, "-o", out)
        tensors = content.read_safetensors(out)
        if not content.is_the_save(tensors, rank):
            raise Broken(f"step {told['step']}, rank {rank}: other bits came back")
        return told["step"], tensors

    def check(self):
        """All ranks restore one save, the newest that each can read, and the account allows it."""
        restored = [self.restore_save(rank) for rank in range(self.ranks)]
        if len({*restored}) > 1 and self.has_damage:
            lowest = min(save.step for save in restored)
            restored = [save for step, save in self.held().items() if step <= lowest][-1:]
        if len({*restored}) > 1:
            raise Broken(f"ranks restored different saves: {[*map(str, restored)]}")
        floor = self.account.floor
        if self.account.restored(restored[0].number) is not floor:
            self.counts["whole though not reported"] += 1
        self.account.tell("restored")

    def restore_save(self, rank, step=None):
        """Nothing of it is missing."""
        step, tensors = self.restore(rank, step)
        save = self.account.saves.get(content.number_of(tensors))
        if save is None or save.step != step:
            raise Broken(f"step {step}, rank {rank}: {save} came back under that step")
        if content.is_thin(tensors) and not save.thin:
            raise Broken(f"{save}, rank {rank}: its optimizer's state is gone")
        return save

    def held(self):
        """The saves that are whole and that all ranks can read, by step."""
        held = {}
        for entry in self.ask("ls", self.store):
            if not entry["whole"]:
                continue
            try:
                parts = [self.restore(rank, entry["step"])[1] for rank in range(self.ranks)]
            except Broken:
                if not self.has_damage:
                    raise
                continue
            held[entry["step"]] = save = self.account.saves[content.number_of(parts[0])]
            save.thin = any(content.is_thin(part) for part in parts)
        return held

    # Damage, and tidying.

    def damage(self):
        done = damage_something(self.store, self.account, self.held(), self.random)
        if done:
            self.account.tell(f"damage: {done}")
            self.has_damage = True
            self.counts[f"damage: {done.split()[0]}"] += 1
        return done

    def tidy(self):
        if self.has_damage and self.random.random() < 0.5:
            self.remove_damaged()
        self.repair()

    def remove_damaged(self):
        """By hand, as people do; not what is all that the line has left."""
        if not self.has_damage or self.account.floor.damaged:
            return
        remove_damaged(self.store, self.held())
        self.has_damage = False

    def repair(self):
        """Afterwards nothing is left over, by the names alone."""
        self.counts["leftovers"] += len(self.ask("repair", self.store, "--min-age", 0)["repaired"])
        self.counts["repairs"] += 1
        again = self.ask("repair", self.store, "--min-age", 0, "--dry-run")
        if again["repaired"] or (again["left"] and not self.has_damage):
            raise Broken(f"repair left something: {again}")
        if not self.has_damage:
            check_names(self.store, self.ranks, self.account.floor.step)

    def check_all(self):
        """Every step: weights always, optimizer states where they were not dropped."""
        if not self.ask("verify", self.store)["sound"]:
            raise Broken("verify found damage")
        for entry in self.ask("ls", self.store):
            for rank in range(self.ranks):
                self.restore(rank, entry["step"])
        self.counts["steps in the end"] = len(self.ask("ls", self.store))
