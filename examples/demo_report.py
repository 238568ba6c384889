"""What the demo's runs wrote, as a table, a picture and a verdict."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file

ROLES = ["weight", "master", "exp_avg", "exp_avg_sq"]
MOST_LINES = 10  # of differences shown


def events(log: Path, *kinds: str) -> list[dict]:
    with open(log, encoding="utf-8") as lines:
        return [event for event in map(json.loads, lines) if event["event"] in kinds]


def lives(log: Path) -> list[str]:
    """Where a killed run ended, as far as it could tell, and from where it went on."""
    told, last = [], 0
    for event in events(log, "step", "resume"):
        if event["event"] == "resume":
            told.append(f"killed after step {last} and restored at step {event['step']}")
        last = event["step"]
    return told


def ratio(part: dict) -> float:
    return part["raw_bytes"] / part["stored_bytes"]


def table(saves: list[dict]) -> str:
    lines = ["step  base changed  raw MB stored  ratio  weight master exp_avg exp_avg_sq  seconds"]
    lines += [_row(save) for save in saves]
    raw = sum(save["raw_bytes"] for save in saves)
    stored = sum(save["stored_bytes"] for save in saves)
    lines.append(f" all {raw / 1e6:21.1f} {stored / 1e6:6.1f} {raw / stored:6.2f}")
    lines += [
        "",
        "changed: 16-bit weights that differ from the base, or without one from the save before",
    ]
    return "\n".join(lines)


def _row(save: dict) -> str:
    base = "-" if save["base_step"] is None else save["base_step"]
    changed = "-" if save["changed"] is None else f"{save['changed']:.3f}"
    weight, master, exp_avg, exp_avg_sq = (ratio(save["roles"][role]) for role in ROLES)
    return (
        f"{save['step']:4} {base:>5} {changed:>7} {save['raw_bytes'] / 1e6:7.1f}"
        f" {save['stored_bytes'] / 1e6:6.1f} {ratio(save):6.2f} {weight:7.2f} {master:6.2f}"
        f" {exp_avg:7.2f} {exp_avg_sq:10.2f} {save['seconds']:8.2f}"
    )


def plot(saves: list[dict], steps: list[dict], path: Path) -> None:
    figure, (top, bottom) = plt.subplots(
        2, sharex=True, figsize=(8, 6.5), height_ratios=[3, 2], layout="constrained"
    )
    _plot_ratios(top, saves)
    _plot_changes(bottom, saves, steps)
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot_ratios(axes: plt.Axes, saves: list[dict]) -> None:
    steps = [save["step"] for save in saves]
    for role, style in zip(ROLES, ["C0-", "C1-", "C2--", "C3:"]):
        axes.plot(steps, [ratio(save["roles"][role]) for save in saves], style, label=role)
    axes.plot(steps, [ratio(save) for save in saves], "k-", linewidth=2.5, label="whole save")
    deltas = [save for save in saves if save["base_step"] is not None]
    tops = [ratio(save["roles"]["weight"]) for save in deltas]
    axes.plot([save["step"] for save in deltas], tops, "C0o", label="leans on a base")
    axes.set_yscale("log")
    axes.set_yticks([1, 1.5, 2, 3, 5, 10], ["1", "1.5", "2", "3", "5", "10"])
    axes.minorticks_off()
    axes.set_ylim(bottom=1)
    axes.set_ylabel("raw bytes / stored bytes")
    axes.set_title("How much smaller each save is, with every bit kept")


def _plot_changes(axes: plt.Axes, saves: list[dict], steps: list[dict]) -> None:
    rates = [event["learning_rate"] for event in steps]
    relative = [rate / max(rates) for rate in rates]
    axes.plot([event["step"] for event in steps], relative, "0.6", label="learning rate / its peak")
    changed = [(save["step"], save["changed"]) for save in saves if save["changed"] is not None]
    axes.plot(*zip(*changed), "C0.-", label="changed 16-bit weights")
    axes.set_ylabel("fraction")
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("step")


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
