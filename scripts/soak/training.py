"""A training state that follows from its save's number and its rank, so that all can check it."""

import numpy as np
import torch

COUNT = 150_000  # parameters: a save takes long enough to be hit anywhere
WEIGHT, OPTIMIZER = "model.w", "optimizer.state.w."


def content_of(number, rank):
    """Name in the store -> words.

    The optimizer's states change every third save only, so that some saves lean on a base and some
    do not. The first weights are the number.
    """
    initial = np.random.default_rng([0, rank]).normal(0, 0.02, COUNT).astype(np.float32)
    weights = initial.view(np.uint32) >> 16  # bf16
    changed = np.random.default_rng([1, number, rank]).integers(0, COUNT, COUNT // 100)
    weights[changed] ^= 1
    weights[:4] = np.array([number], np.uint64).view(np.uint16)
    slow = np.random.default_rng([2, number // 3, rank])
    moments = slow.normal(0, 1e-4, COUNT).astype(np.float32)
    masters = weights << 16 | slow.integers(0, 1 << 16, COUNT, dtype=np.uint32)
    return {
        WEIGHT: weights.astype(np.uint16).view(np.int16),
        OPTIMIZER + "master": masters.view(np.int32),
        OPTIMIZER + "exp_avg": moments.view(np.int32),
        OPTIMIZER + "exp_avg_sq": np.square(moments).view(np.int32),
    }


def number_in(weights):
    return int(weights[:4].copy().view(np.uint64)[0])


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

    def become(self, number):
        for name, words in content_of(number, self.rank).items():
            self.words()[name][:] = words

    def scribble(self):
        for words in self.words().values():
            words[:] = 0x5A5A

    def number(self):
        """Of the save that this is, to the bit; None when it is none."""
        mine = self.words()
        number = number_in(mine[WEIGHT])
        want = content_of(number, self.rank)
        same = all(np.array_equal(mine[name], words) for name, words in want.items())
        return number if same else None


def is_thin(snapshot):
    return not any(tensor.name.startswith(OPTIMIZER) for tensor in snapshot.tensors)


def stored_number(snapshot, rank):
    """Of the save that a snapshot of the store is, to the bit; None when it is none.

    Optimizer states may have been dropped.
    """
    first = np.empty(4, np.int16)
    snapshot.read_into([(WEIGHT, first)], threads=1)
    for name, want in content_of(number_in(first), rank).items():
        if name != WEIGHT and is_thin(snapshot):
            continue
        got = np.empty_like(want)
        snapshot.read_into([(name, got)], threads=1)
        if not np.array_equal(got, want):
            return None
    return number_in(first)
