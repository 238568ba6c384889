"""Checkpoints of `make trace` as numpy arrays, and the pairs that everything is measured on."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROLES = ("weight", "master", "exp_avg", "exp_avg_sq")
DTYPES = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
MASTER, EXP_AVG, EXP_AVG_SQ = ".master", ".exp_avg", ".exp_avg_sq"


@dataclass(frozen=True)
class Pair:
    """A checkpoint and the older one that it may lean on."""

    base: str | None
    current: str

    def __str__(self) -> str:
        return f"{label(self.base)}→{label(self.current)}" if self.base else label(self.current)


PAIRS = [
    Pair("step-00000050", "step-00000100"),
    Pair("step-00000300", "step-00000301"),
    Pair("step-00000300", "step-00000310"),
    Pair("step-00000300", "step-00000350"),
    Pair("step-00000590", "step-00000600"),
    Pair("step-00000599", "step-00000600"),
    Pair("ft-00000060", "ft-00000061"),
    Pair("ft-00000060", "ft-00000070"),
    Pair("ft-00000070", "ft-00000110"),
    Pair(None, "step-00000310"),
]


def label(stem: str) -> str:
    phase, step = stem.split("-")
    return f"ft {int(step)}" if phase == "ft" else str(int(step))


def load(folder: Path, stem: str) -> dict[str, np.ndarray]:
    """All floating-point tensors of a safetensors file; bf16 as uint16, which numpy lacks."""
    data = np.memmap(folder / f"{stem}.safetensors", dtype=np.uint8, mode="r")
    header_bytes = int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8 : 8 + header_bytes]))
    body = data[8 + header_bytes :]
    tensors = {}
    for name, entry in header.items():
        # AdamW's step counters, one number each, are no part of what is measured.
        if name == "__metadata__" or not entry["shape"]:
            continue
        begin, end = entry["data_offsets"]
        array = np.array(body[begin:end]).view(DTYPES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def role_of(name: str) -> str:
    if name.startswith("model."):
        return "weight"
    return name.rsplit(".", 1)[1]


def flat(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By role, all tensors one after the other, as codecs without a notion of tensors get them."""
    return {
        role: np.concatenate([tensor.reshape(-1) for tensor in part.values()])
        for role, part in by_role(tensors).items()
    }


def by_role(tensors: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    roles = {role: {} for role in ROLES}
    for name, tensor in tensors.items():
        roles[role_of(name)][name] = tensor
    return roles


def parameters(tensors: dict[str, np.ndarray]) -> list[str]:
    return [name.removeprefix("model.") for name in tensors if role_of(name) == "weight"]
