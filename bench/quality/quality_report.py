"""Turns bench/results/quality.csv into the tables and the picture of docs/quality.md."""

import csv
import math
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from pages import replace, table

RESULTS = ROOT / "bench/results/quality.csv"
PAGE = ROOT / "docs/quality.md"
PLOT = ROOT / "docs/quality.png"
UNINTERRUPTED = "uninterrupted"
CONTROL_STYLES = {"masters off by one ULP": "k--", "no optimizer state": "k:"}
THOUSAND = 1000  # gaps are shown in thousandths


def read(path: Path) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def marks_of(rows: list[dict]) -> list[int]:
    return [int(name.removeprefix("gap_")) for name in rows[0] if name.startswith("gap_")]


class Group:
    """The same continuation over its data orders, each compared with the uninterrupted one."""

    def __init__(self, rows: list[dict]) -> None:
        self.name = rows[0]["run"]
        self.restores = int(rows[0]["restores"])
        self.identical = all(row["bit_identical"] == "True" for row in rows)
        self.gaps = {
            mark: [float(row[f"gap_{mark}"]) for row in rows] for mark in marks_of(rows)
        }
        self.rows = rows

    def sizes(self) -> list[float]:
        """Root mean square over the orders, at each mark."""
        return [math.sqrt(statistics.fmean(g * g for g in gaps)) for gaps in self.gaps.values()]

    def mean(self, field: str) -> float:
        return statistics.fmean(float(row[field]) for row in self.rows)

    def about_saves(self) -> list[str]:
        if not self.restores:
            return [self.name, *["–"] * 4]
        error = percent(max(float(row["measured_error"]) for row in self.rows))
        ratio, scale = f"{self.mean('ratio'):.2f}", f"{self.mean('scale'):.3f}"
        return [f"`{self.name}`", str(self.restores), ratio, error, scale]

    def about_gaps(self) -> list[str]:
        if self.identical:
            return ["0"] * len(self.gaps)
        return [_mean_and_deviation(gaps) for gaps in self.gaps.values()]


def _mean_and_deviation(gaps: list[float]) -> str:
    text = f"{THOUSAND * statistics.fmean(gaps):+.3f}"
    return f"{text} ± {THOUSAND * statistics.stdev(gaps):.3f}" if len(gaps) > 1 else text


class Beta2:
    """Everything that was measured with one of Adam's b2."""

    def __init__(self, rows: list[dict], beta2: str) -> None:
        self.beta2 = beta2
        self.marks = marks_of(rows)
        rows = [row for row in rows if row["beta2"] == beta2]
        self.orders = [row for row in rows if row["run"] == UNINTERRUPTED]
        groups: dict[tuple, list[dict]] = {}
        for row in rows:
            if row["run"] != UNINTERRUPTED:
                groups.setdefault((row["run"], row["restores"]), []).append(row)
        self.groups = [Group(group) for group in groups.values()]
        self.spread = {
            mark: statistics.stdev(float(row[f"loss_{mark}"]) for row in self.orders)
            for mark in self.marks
        }

    def worst(self, group: Group) -> float:
        """The largest gap at a mark in standard deviations between the data orders there."""
        return max(abs(gap) / self.spread[mark] for mark in self.marks for gap in group.gaps[mark])

    def table(self) -> str:
        head = ["restored from", "times", "ratio", "update error", "scale"]
        losses = [f"{float(self.orders[0][f'loss_{mark}']):.4f}" for mark in self.marks]
        spread = [f"{THOUSAND * value:.3f}" for value in self.spread.values()]
        rows = [
            ["uninterrupted: loss", *["–"] * 4, *losses, "–"],
            [f"{len(self.orders)} data orders: deviation", *["–"] * 4, *spread, "1"],
        ]
        for group in self.groups:
            worst = f"{self.worst(group):.2g}"
            rows.append([*group.about_saves(), *group.about_gaps(), worst])
        return table([*head, *map(str, self.marks), "worst"], rows)


def percent(error: float) -> str:
    return f"{100 * error:,.0f} %" if error >= 1 else f"{100 * error:.2g} %"


def tables(rows: list[dict]) -> str:
    parts = []
    for beta2 in dict.fromkeys(row["beta2"] for row in rows):
        parts += [f"b2 = {beta2}:", Beta2(rows, beta2).table()]
    return "\n\n".join(parts)


def cost(rows: list[dict]) -> str:
    machines = "; ".join(dict.fromkeys(row["machine"] for row in rows))
    minutes = sum(float(row["seconds"]) for row in rows) / 60
    return f"Measured on: {machines}. It took {minutes:.0f} minutes."


def plot(rows: list[dict], path: Path) -> None:
    beta2s = [Beta2(rows, beta2) for beta2 in dict.fromkeys(row["beta2"] for row in rows)]
    restores = sorted({int(row["restores"]) for row in rows} - {0})
    figure, grid = plt.subplots(
        len(restores), len(beta2s), figsize=(10, 7.5), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )
    for line, times in zip(grid, restores):
        for axes, beta2 in zip(line, beta2s):
            _plot_gaps(axes, beta2, times)
            often = "once" if times == 1 else f"{times} times"
            axes.set_title(f"restored {often}, b2 = {beta2.beta2}")
        line[0].set_ylabel("|loss − uninterrupted loss|")
    for axes in grid[-1]:
        axes.set_xlabel("steps after the first restore")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot_gaps(axes: plt.Axes, beta2: Beta2, times: int) -> None:
    spread = list(beta2.spread.values())
    axes.plot(beta2.marks, spread, color="0.75", linewidth=7, label="between data orders")
    for group in beta2.groups:
        # Without a gap there is nothing to show on a logarithmic axis.
        if group.restores in (0, times) and not group.identical:
            style = "o-" if group.restores else CONTROL_STYLES[group.name]
            axes.plot(beta2.marks, group.sizes(), style, label=group.name)
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> int:
    rows = read(RESULTS)
    page = PAGE.read_text(encoding="utf-8")
    for name, content in {"cost": cost(rows), "tables": tables(rows)}.items():
        page = replace(page, name, content)
    PAGE.write_text(page, encoding="utf-8")
    plot(rows, PLOT)
    print(tables(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
