"""Waits for what happens in the background."""

import time


def eventually(condition, seconds=20):
    """Whether `condition` comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
