"""What the demo's runs wrote, as a table, a picture and a verdict."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file

ROLES = ["weight", "master", "exp_avg", "exp_avg_sq"]
COLORS = {"weight": "C0", "master": "C1", "exp_avg": "C2", "exp_avg_sq": "C3"}
MOST_LINES = 10  # of differences shown


def events(log: Path, kind: str) -> list[dict]:
    with open(log, encoding="utf-8") as lines:
        return [event for event in map(json.loads, lines) if event["event"] == kind]


def ratio(part: dict) -> float:
    return part["raw_bytes"] / part["stored_bytes"]


def table(saves: list[dict]) -> str:
    roles = " ".join(f"{role:>10}" for role in ROLES)
    lines = [f"{'':47}ratio", f"step  base changed   raw MB stored MB    whole {roles}  seconds"]
    lines[0] = " " * lines[1].index("whole") + "ratio"
    lines += [_row(save) for save in saves]
    raw = sum(save["raw_bytes"] for save in saves)
    stored = sum(save["stored_bytes"] for save in saves)
    lines.append(f" all {'':12} {raw / 1e6:8.1f}  {stored / 1e6:8.1f} {raw / stored:8.2f}")
    return "\n".join(lines)


def _row(save: dict) -> str:
    base = "-" if save["base_step"] is None else save["base_step"]
    changed = "-" if save["changed"] is None else f"{save['changed']:.3f}"
    roles = " ".join(f"{ratio(save['roles'][role]):10.2f}" for role in ROLES)
    return (
        f"{save['step']:4} {base:>5} {changed:>7} {save['raw_bytes'] / 1e6:8.1f}"
        f" {save['stored_bytes'] / 1e6:9.1f} {ratio(save):8.2f} {roles} {save['seconds']:8.2f}"
    )


def plot(saves: list[dict], path: Path) -> None:
    steps = [save["step"] for save in saves]
    figure, (top, bottom) = plt.subplots(
        2, sharex=True, figsize=(8, 6), height_ratios=[3, 2], layout="constrained"
    )
    for role in ROLES:
        values = [ratio(save["roles"][role]) for save in saves]
        top.plot(steps, values, color=COLORS[role], label=role)
    top.plot(steps, [ratio(save) for save in saves], "k", linewidth=2.5, label="whole")
    top.set_ylabel("raw / stored bytes")
    top.set_title("Every bit kept: how much smaller each save is")
    top.legend()
    changed = [(save["step"], save["changed"]) for save in saves if save["changed"] is not None]
    bottom.plot(*zip(*changed), color=COLORS["weight"], marker=".")
    bottom.set_ylabel("changed 16-bit weights")
    bottom.set_ylim(0, 1)
    bottom.set_xlabel("step")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def differing_tensors(a: Path, b: Path) -> list[str]:
    """One line for each tensor that is not the same, bit for bit, in both safetensors files."""
    left, right = load_file(a), load_file(b)
    lines = [f"{name}: only in {a}" for name in sorted(left.keys() - right.keys())]
    lines += [f"{name}: only in {b}" for name in sorted(right.keys() - left.keys())]
    for name in sorted(left.keys() & right.keys()):
        if difference := _difference(left[name], right[name]):
            lines.append(f"{name}: {difference}")
    return lines


def _difference(x: torch.Tensor, y: torch.Tensor) -> str:
    if (x.dtype, x.shape) != (y.dtype, y.shape):
        return f"{x.dtype} {list(x.shape)} against {y.dtype} {list(y.shape)}"
    bits = [t.reshape(-1, 1).view(torch.uint8) for t in (x, y)]
    count = int((bits[0] != bits[1]).any(dim=1).sum())
    return f"{count:,} of {x.numel():,} elements differ" if count else ""


def differing_losses(a: Path, b: Path) -> list[str]:
    """One line for each step of log `b`, repeated ones included, whose loss is not that of `a`."""
    expected = {event["step"]: event["loss"] for event in events(a, "step")}
    return [
        f"loss of step {event['step']}: {expected.get(event['step'])} against {event['loss']}"
        for event in events(b, "step")
        if event["loss"] != expected.get(event["step"])
    ]


def verdict(a: Path, b: Path) -> list[str]:
    """All differences between two runs' folders; none when they are bit-identical."""
    lines = differing_tensors(a / "final.safetensors", b / "final.safetensors")
    return lines + differing_losses(a / "log.jsonl", b / "log.jsonl")
