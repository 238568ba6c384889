"""A line that follows a training run."""

import sys
from collections import deque


class Progress:
    """Rewritten in place on a terminal, else a line every ten steps."""

    def __init__(self, steps: int, tokens_per_step: int) -> None:
        self.steps = steps
        self.tokens_per_step = tokens_per_step
        self.seconds: deque[float] = deque(maxlen=10)  # of the last steps
        self.live = sys.stdout.isatty()

    def show(self, step: int, loss: float, seconds: float) -> None:
        self.seconds.append(seconds)
        rate = len(self.seconds) * self.tokens_per_step / sum(self.seconds)
        line = f"  step {step:4}/{self.steps}  loss {loss:.4f}  {rate:7,.0f} tokens/s"
        if self.live:
            print(f"\r{line}", end="", flush=True)
        elif step % 10 == 0 or step == self.steps:
            print(line, flush=True)

    def end(self) -> None:
        if self.live and self.seconds:
            print(flush=True)
