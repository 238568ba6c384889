"""Crash storm on training runs: SIGKILL of all ranks, of one, of the agent, at random instants and
at chosen system calls; saves that fail; runs that go back, start afresh and meet each other; and
files that break.

After every round, before anything is cleaned up: each rank restores one and the same save that the
account allows, to the bit. After a clean end nothing is left over.
"""

import os
import signal
import time
from collections import Counter
from glob import glob
from pathlib import Path
from random import Random

import stored
import strike
import torch
import torch._dynamo  # noqa: F401  # an optimizer imports it: once here, not in every child
import torch.distributed
from account import Account
from child import Child
from damage import damage_something, remove_damaged
from leftovers import Broken, agents_of, check_machine, check_names
from told import Told
from trainer import Plan, train

import bitsnap

PATIENCE = 120  # seconds that nothing may take
PROFILES = ("exact", "fast")
RETENTIONS = (
    dict(keep_last=2, keep_every=5, drop_optimizer_older_than=4),
    dict(keep_last=1),
    dict(keep_last=3, drop_abandoned=True),
    dict(),
)
CHANGES_OF_A_RUN = 100  # about so many

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
        self.strikes = strike.Strikes(self.store, self.folder / "struck")
        self.random = Random(seed)
        self.victims = ["call", "all ranks"] if ranks == 1 else ["call", "one rank", "all ranks"]
        if engine == "agent":
            self.victims += ["agent", "agent and all ranks"]
        self.account = Account()
        self.has_damage = False
        self.seconds = 0.5  # that a round takes when nobody is killed, about
        self.counts = Counter()

    def run(self, kills, progress=lambda done: None):
        try:
            self.quiet_round()
            while self.counts["kills"] < kills:
                self.round(self.random.choice([*self.victims, "fail"]))
                self.check()
                if self.random.random() < 0.25 and self.damage():
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
        self.go([self.plan()])
        self.seconds = time.monotonic() - started
        check_machine(self.store, self.runtime, self.shared_memory)
        if self.has_damage:
            remove_damaged(self.store, self.held())
            self.has_damage = False
        bitsnap.Store(self.store).repair(min_age=0)  # after the kills before
        self.go([self.plan()])
        check_machine(self.store, self.runtime, self.shared_memory)
        self.check()
        check_names(self.store, self.ranks, self.account.floor.step)

    # What a round does.

    def round(self, victim):
        """A run that goes on from the newest step, or does not, and the death of `victim`."""
        kinds = {"go on": 60, "go back": 20, "start afresh": 5, "two runs": 15}
        (kind,) = self.random.choices([*kinds], [*kinds.values()])
        settings = dict(survives=victim == "fail")
        # An agent may be removing steps.
        if kind == "go back" and not agents_of(self.store):
            settings["step"] = self.step_to_go_back_to()
        elif kind == "start afresh" and not self.has_first_step():
            settings["afresh"] = True
        if kind == "two runs" and self.ranks == 1:
            plans = [self.plan(survives=True), self.plan(survives=True, engine="thread")]
        else:
            plans = [self.plan(**settings)]
        self.counts[f"times {kind}"] += 1
        self.go(plans, victim)

    def plan(self, **settings):
        saves = self.random.randint(2, 8)
        defaults = dict(
            store=str(self.store), rendezvous=str(self.folder / "rendezvous"),
            number=self.account.reserve(saves), saves=saves, world_size=self.ranks,
            engine=self.engine, profile=self.random.choice(PROFILES),
            settings=self.random.choice(RETENTIONS),
        )  # fmt: skip
        # Of several ranks some may come through: that is the end of the step that is replaced.
        if self.ranks == 1 and self.random.random() < 0.3:
            defaults["again"] = self.random.randrange(1, saves)
        return Plan(**{**defaults, **settings})

    def has_first_step(self):
        """Whether the line may have the step that a new run saves first, which is then refused."""
        is_there = (self.store / "step-00000001").exists()
        return is_there and any(save.step == 1 for save in self.account.line())

    def step_to_go_back_to(self):
        held = [save for save in self.held().values() if not save.thin and not save.damaged]
        return self.random.choice(held).step

    def go(self, plans, victim=None):
        """Runs of all ranks at once, and what becomes of them."""
        before = self.unfinished_files()
        trainers = [child for plan in plans for child in self.start(plan, victim)]
        try:
            if victim == "call":
                self.wait_for_strike(trainers)
            elif victim not in (None, "fail"):
                self.wait_for_an_instant(trainers, before)
                self.strike(victim, trainers)
            for child in trainers:
                if not child.wait(PATIENCE):
                    raise Broken("a trainer hangs")
        finally:
            for child in trainers:
                child.kill()
        self.counts["files left unfinished"] += len(self.unfinished_files() - before)
        self.count_strikes(victim)
        self.judge(plans, trainers, victim)

    def start(self, plan, victim):
        Path(plan.rendezvous).unlink(missing_ok=True)
        chosen = self.random.randrange(self.ranks)
        hit = {"call": strike.kill, "fail": strike.fail}.get(victim)
        what = hit(self.random, CHANGES_OF_A_RUN) if hit else None

        def work(tell, rank):
            if what and plan.engine == "agent":
                os.environ.update(self.strikes.environment(what))  # of an agent that it starts
            elif what and rank == chosen:
                self.strikes.here(what)
            train(tell, rank, plan)

        return [self.fork(lambda tell, rank=rank: work(tell, rank)) for rank in range(self.ranks)]

    def fork(self, work):
        return Child(work, self.folder / "errors")

    # Deaths.

    def wait_for_strike(self, trainers):
        """Where one rank dies the others notice, or else their launcher ends them."""
        while not all(child.wait(0) for child in trainers):
            if any(child.code not in (None, 0) for child in trainers):
                for child in trainers:
                    child.wait(1)
                kill_all(trainers)
            time.sleep(0.001)

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

    def count_strikes(self, victim):
        struck = len(self.strikes.take())
        if victim == "call":
            self.counts["kills"] += struck
            self.counts["at a call"] += struck
        else:
            self.counts["failures"] += struck

    # What they told, and what restores.

    def judge(self, plans, trainers, victim):
        """What the trainers told against what they had promised before."""
        killed = any(child.code == -signal.SIGKILL for child in trainers)
        if not killed and any(child.code != 0 for child in trainers):
            raise Broken(f"a trainer did not end well: {[child.lines() for child in trainers]}")
        told = []
        for number, plan in enumerate(plans):
            lines = [child.lines() for child in trainers[number * self.ranks :][: self.ranks]]
            told.append(Told(plan, lines, killed, self.account))
        for each in told:
            each.take_restored(alone=len(told) == 1)
            self.counts.update(each.sources)
            self.counts["saves refused"] += each.refusals
        self.account.reported(*((each.saves, each.durable) for each in told))
        for each in told:
            self.account.tell(f"{each}, victim: {victim}")

    def check(self):
        numbers = self.ask(stored.restore_newest)
        quiet = not agents_of(self.store)
        # Where an agent goes on committing, a rank asked later may get a newer step.
        if len(set(numbers)) != 1 and quiet:
            raise Broken(f"ranks restored different saves: {numbers}")
        for number in sorted(set(numbers)):
            self.account.restored(number, quiet)
        self.account.tell("restored")

    def held(self):
        """The saves that are whole and can be read, by step."""
        held = {}
        for step, number, thin in self.ask(stored.list_whole):
            held[step] = save = self.account.saves[number]
            save.thin = bool(thin)
        return held

    def ask(self, work):
        """In a process of its own, from disk: torch and its threads stay out of this one."""
        child = self.fork(lambda tell: work(tell, self.store, self.ranks))
        if not child.wait(PATIENCE):
            child.kill()
            raise Broken("restoring hangs")
        return [stored.parse(line) for line in child.lines()]

    def damage(self):
        if agents_of(self.store):  # one may be removing what then would be all that is left
            return None
        done = damage_something(self.store, self.account, self.held(), self.random)
        if done:
            self.account.tell(f"damage: {done}")
            self.has_damage = True
            self.counts[f"damage: {done.split()[0]}"] += 1
        return done


def kill_all(trainers):
    return sum(child.kill() for child in trainers)
