"""A small training run and bit-exact comparison, for the tests of bitsnap.torch."""

import math
import struct
from collections import OrderedDict

import numpy as np
import torch

# These models are too small for more, and the bits must not depend on the machine.
torch.set_num_threads(1)


def make_model(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(12, 32),
        torch.nn.BatchNorm1d(32),
        torch.nn.GELU(),
        torch.nn.Linear(32, 4),
    )


def train(model, optimizer, steps):
    """Draws its data from torch's global generator, so that the RNG state matters."""
    for _ in range(steps):
        x = torch.randn(16, 12).to(next(model.parameters()).dtype)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def bits_of(tensor):
    """Everything that two equal tensors share: values compare by bits."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return (str(tensor.dtype), tuple(tensor.shape), content)


def frozen(value):
    """A nested value with its types, as something that == compares exactly."""
    if isinstance(value, torch.Tensor):
        return ("tensor", *bits_of(value))
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, np.generic):
        return ("numpy", value.dtype.str, value.tobytes())
    if type(value) is float:
        return ("float", struct.pack("<d", value))
    if isinstance(value, (dict, OrderedDict)):
        return (type(value), [(frozen(k), frozen(v)) for k, v in value.items()])
    if isinstance(value, (list, tuple)):
        return (type(value), [frozen(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return (type(value), sorted((repr(frozen(item)) for item in value)))
    return (type(value), value)


def model_bits(model):
    return {name: frozen(value) for name, value in model.state_dict().items()}


def optimizer_bits(optimizer):
    return frozen(optimizer.state_dict())


def nan_with_payload(payload):
    value = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000 | payload))[0]
    assert math.isnan(value)
    return value


class Run:
    """A training run whose state tells its seed and how far it is."""

    def __init__(self, seed):
        self.model = make_model(seed)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def to(self, step, seed):
        torch.manual_seed(seed)
        train(self.model, self.optimizer, step)
        return self

    def state(self):
        return {"model": self.model, "optimizer": self.optimizer}

    def bits(self):
        return model_bits(self.model), optimizer_bits(self.optimizer)
