"""Crash storm on training runs: SIGKILL of all ranks, of one, of the agent, at random instants.

After every kill, before anything is cleaned up: each rank restores one and the same whole step, to
the bit, that is no older than the last that all ranks reported durable. After a clean end nothing is
left over.
"""

import os
import random
import signal
import time
from collections import Counter
from functools import partial
from glob import glob
from pathlib import Path

import torch
import torch._dynamo  # noqa: F401  # an optimizer imports it: once here, not in every child
import torch.distributed
import trainer
import training
from child import Child
from leftovers import Broken, agents_of, check_machine, check_names

import bitsnap

PATIENCE = 120  # seconds that nothing may take
PROFILES = ("exact", "fast")

torch.set_num_threads(1)


class TrainerStorm:
    """One store under fire. `folder` must be empty."""

    def __init__(self, folder, ranks, seed, engine):
        self.folder, self.ranks, self.engine = Path(folder), ranks, engine
        self.store = self.folder / "store"
        self.runtime = self.folder / "run"
        self.runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(self.runtime)
        self.shared_memory = set(os.listdir("/dev/shm"))
        self.random = random.Random(seed)
        self.victims = ["all ranks"] if ranks == 1 else ["one rank", "all ranks"]
        if engine == "agent":
            self.victims += ["agent", "agent and all ranks"]
        self.durable = 0  # the last step that all ranks have reported
        self.seconds = 0.5  # that a round takes when nobody is killed, about
        self.counts = Counter()

    def run(self, kills, progress=lambda done: None):
        try:
            self.quiet_round()
            while self.counts["kills"] < kills:
                self.round(self.random.choice(self.victims))
                self.check()
                if self.random.random() < 0.1:
                    self.quiet_round()
                progress(self.counts["kills"])
            self.quiet_round()
        finally:
            self.kill_agent()  # one that waits for a restart, where a promise was broken

    def quiet_round(self):
        """Nobody is killed, and nothing is left over."""
        started = time.monotonic()
        self.round(None)
        self.seconds = time.monotonic() - started
        check_machine(self.store, self.runtime, self.shared_memory)
        bitsnap.Store(self.store).repair(min_age=0)  # after the kills before
        self.round(None)
        check_machine(self.store, self.runtime, self.shared_memory)
        check_names(self.store, self.ranks)
        self.check()

    def round(self, victim):
        """A training run that goes on from the newest step, and the death of `victim`."""
        before = self.unfinished_files()
        trainers = self.start()
        try:
            if victim is not None:
                self.wait_for_an_instant(trainers, before)
                self.strike(victim, trainers)
            for child in trainers:
                if not child.wait(PATIENCE):
                    raise Broken("a trainer hangs")
        finally:
            for child in trainers:
                child.kill()
        self.counts["files left unfinished"] += len(self.unfinished_files() - before)
        self.judge(trainers)

    def start(self):
        rendezvous = self.folder / "rendezvous"
        rendezvous.unlink(missing_ok=True)
        options = dict(
            store=self.store, world_size=self.ranks, rendezvous=rendezvous, engine=self.engine,
            profile=self.random.choice(PROFILES), steps=self.random.randint(2, 8),
        )  # fmt: skip
        return [
            self.fork(lambda tell, rank=rank: trainer.train(tell, rank=rank, **options))
            for rank in range(self.ranks)
        ]

    def fork(self, work):
        return Child(work, self.folder / "errors")

    def wait_for_an_instant(self, trainers, before):
        """Any, or one while a file is written or committed."""
        patience = self.random.uniform(0, 1.1) * self.seconds
        if self.random.random() < 0.5:
            time.sleep(patience)
            return
        after = time.monotonic() + patience
        while not all(child.wait(0) for child in trainers):
            if time.monotonic() > after and self.unfinished_files() - before:
                break
            time.sleep(0.0005)
        time.sleep(self.random.uniform(0, 0.02))

    def unfinished_files(self):
        return set(glob(f"{self.store}/step-*/.*.tmp-*"))  # bears with folders that go away

    def strike(self, victim, trainers):
        if victim == "agent":
            hits = self.kill_agent()
        elif victim == "agent and all ranks":
            order = [self.kill_agent, lambda: kill_all(trainers)]
            self.random.shuffle(order)
            hits = sum(kill() for kill in order)
        elif victim == "one rank":
            hits = self.random.choice(trainers).kill()
            if hits and self.random.random() < 0.5:
                for child in trainers:
                    child.wait(1)  # they notice, or else their launcher ends them
            if hits:
                kill_all(trainers)
        else:
            hits = kill_all(trainers)
        if hits:
            self.counts["kills"] += 1
            self.counts[f"of {victim}"] += 1

    def kill_agent(self):
        agents = agents_of(self.store)
        for agent in agents:
            os.kill(agent, signal.SIGKILL)
        return len(agents)

    def judge(self, trainers):
        """What the trainers told against what they had promised before."""
        told = [child.lines() for child in trainers]
        killed = any(child.code == -signal.SIGKILL for child in trainers)
        for line in (line for lines in told for line in lines):
            if line.startswith("broken") or (line.startswith("failed") and not killed):
                raise Broken(line)
        restored = {line for lines in told for line in lines if line.startswith("restored")}
        for line in restored:
            _, step, source = line.split()
            self.counts[f"restored from {source}"] += 1
            if int(step) < self.durable:
                raise Broken(f"step {self.durable} was durable, a trainer restored {step}")
        if len({line.split()[1] for line in restored}) > 1:
            raise Broken(f"ranks restored different steps: {sorted(restored)}")
        if not killed and not all("closed" in lines for lines in told):
            raise Broken(f"a trainer did not end well: {[child.code for child in trainers]}")
        durable = [[int(l.split()[1]) for l in lines if l.startswith("durable")] for lines in told]
        if all(durable):
            self.durable = max(self.durable, min(steps[-1] for steps in durable))

    def check(self):
        child = self.fork(self.restore_all)
        if not child.wait(PATIENCE):
            child.kill()
            raise Broken("restoring hangs")
        for line in child.lines():
            raise Broken(line)

    def restore_all(self, tell):
        """In a process of its own, from disk: torch and its threads stay out of this one."""
        store, steps = bitsnap.Store(self.store, create=True), set()

        def use(rank, snapshot):
            if not training.stored_is(snapshot, snapshot.step, rank):
                tell(f"step {snapshot.step}, rank {rank}: other bits came back")

        for rank in range(self.ranks):
            try:
                steps.add(store.restore_newest(partial(use, rank), rank=rank))
            except bitsnap.NotFound:
                steps.add(0)
        # Where an agent goes on committing, a rank asked later may get a newer step.
        if len(steps) != 1 and not agents_of(self.store):
            tell(f"ranks restored different steps: {sorted(steps)}")
        if min(steps) < self.durable:
            tell(f"step {self.durable} was durable, {min(steps)} came back")


def kill_all(trainers):
    return sum(child.kill() for child in trainers)
