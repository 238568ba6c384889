"""A training state that is a function of its step and rank, so that anybody can check it."""

import numpy as np
import torch

COUNT = 150_000  # parameters: a save takes long enough to be hit anywhere
WEIGHT, OPTIMIZER = "model.w", "optimizer.state.w."


def content_of(step, rank):
    """Name in the store -> words.

    The optimizer's states change every third step only, so that some saves lean on a base and some
    do not.
    """
    initial = np.random.default_rng([0, rank]).normal(0, 0.02, COUNT).astype(np.float32)
    weights = initial.view(np.uint32) >> 16  # bf16
    changed = np.random.default_rng([1, step, rank]).integers(0, COUNT, COUNT // 100)
    weights[changed] ^= 1
    slow = np.random.default_rng([2, step // 3, rank])
    moments = slow.normal(0, 1e-4, COUNT).astype(np.float32)
    masters = weights << 16 | slow.integers(0, 1 << 16, COUNT, dtype=np.uint32)
    return {
        WEIGHT: weights.astype(np.uint16).view(np.int16),
        OPTIMIZER + "master": masters.view(np.int32),
        OPTIMIZER + "exp_avg": moments.view(np.int32),
        OPTIMIZER + "exp_avg_sq": np.square(moments).view(np.int32),
    }


class Training:
    """bf16 weights, and an AdamW of fp32 masters."""

    def __init__(self, rank):
        self.rank = rank
        self.model = torch.nn.Module()
        self.model.w = torch.nn.Parameter(torch.zeros(COUNT, dtype=torch.bfloat16))
        master = torch.zeros(COUNT)
        self.optimizer = torch.optim.AdamW([master])
        state = {"step": torch.tensor(0.0)}
        state |= {name: torch.zeros(COUNT) for name in ("exp_avg", "exp_avg_sq")}
        self.optimizer.state[master] = state

    def words(self):
        """The same names and words as content_of, in place."""
        (master,) = self.optimizer.param_groups[0]["params"]
        state = self.optimizer.state[master]
        tensors = {
            OPTIMIZER + "master": master,
            OPTIMIZER + "exp_avg": state["exp_avg"],
            OPTIMIZER + "exp_avg_sq": state["exp_avg_sq"],
        }
        words = {name: tensor.view(torch.int32).numpy() for name, tensor in tensors.items()}
        return {WEIGHT: self.model.w.detach().view(torch.int16).numpy(), **words}

    def become(self, step):
        for name, words in content_of(step, self.rank).items():
            self.words()[name][:] = words

    def scribble(self):
        for words in self.words().values():
            words[:] = 0x5A5A

    def is_at(self, step):
        mine = self.words()
        want = content_of(step, self.rank)
        return all(np.array_equal(mine[name], words) for name, words in want.items())


def stored_is(snapshot, step, rank):
    """Whether a snapshot of the store is that step, to the bit."""
    for name, want in content_of(step, rank).items():
        got = np.empty_like(want)
        snapshot.read_into([(name, got)], threads=1)
        if not np.array_equal(got, want):
            return False
    return True
