"""Processes of the command, and what hits them."""

import signal
import subprocess
import time

import strike

HITS = ("call", "call", "instant", "file", "fail", "interrupt")


class Running:
    """One process of the command, a saver of a rank or a prune."""

    def __init__(self, command, save=None, rank=None):
        self.save, self.rank = save, rank
        self.hit = None  # what it is to suffer
        self.at_calls = None  # what happens at its system calls: strike.cc
        self._command = command

    def choose_hit(self, random):
        self.hit = random.choice(HITS)
        at_calls = {"call": strike.kill, "fail": strike.fail}.get(self.hit)
        if at_calls:
            self.at_calls = at_calls(random)

    def start(self, strikes):
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=strikes.environment(self.at_calls),
        )  # fmt: skip

    def strike(self, random, seconds, store):
        """From outside: at any instant, or soon after the file appeared."""
        if self.hit == "file" and self.save is not None:
            folder = store / f"step-{self.save.step:08}"
            pattern = f".rank-{self.rank:05}*.tmp-{self._process.pid}-*"
            while self._process.poll() is None and not any(folder.glob(pattern)):
                pass
            time.sleep(random.uniform(0, 0.3) * seconds)
            self._process.kill()
        elif self.hit in ("instant", "file", "interrupt"):
            time.sleep(random.uniform(0, 1.2) * seconds)
            deadly = signal.SIGINT if self.hit == "interrupt" else signal.SIGKILL
            self._process.send_signal(deadly)

    def finish(self, patience=60):
        self.message = self._process.communicate(timeout=patience)[1].decode()
        self.code = self._process.returncode

    @property
    def killed(self):
        return self.code == -signal.SIGKILL

    def __str__(self):
        name = "a prune" if self.save is None else f"rank {self.rank} of {self.save}"
        return f"{name}: {self.code}"
