"""Turns bench/results/quality.csv into the tables and the picture of docs/quality.md."""

import csv
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
THOUSAND = 1000  # gaps are shown in thousandths


def read(path: Path) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def marks_of(rows: list[dict]) -> list[int]:
    return [int(name.removeprefix("gap_")) for name in rows[0] if name.startswith("gap_")]


class Beta2:
    """Everything that was measured with one of Adam's b2."""

    def __init__(self, rows: list[dict], beta2: str) -> None:
        self.beta2 = beta2
        self.marks = marks_of(rows)
        rows = [row for row in rows if row["beta2"] == beta2]
        self.orders = [row for row in rows if row["run"] == UNINTERRUPTED]
        self.others = [row for row in rows if row["run"] != UNINTERRUPTED]
        self.spread = [
            statistics.stdev(float(row[f"loss_{mark}"]) for row in self.orders)
            for mark in self.marks
        ]

    def gaps(self, row: dict) -> list[float]:
        return [float(row[f"gap_{mark}"]) for mark in self.marks]

    def worst(self, row: dict) -> float:
        """The largest gap at a mark in standard deviations between the data orders there."""
        return max(abs(gap) / spread for gap, spread in zip(self.gaps(row), self.spread))

    def table(self) -> str:
        head = ["restored from", "times", "ratio", "update error", "scale"]
        head += [*map(str, self.marks), "worst"]
        losses = [f"{float(self.orders[0][f'loss_{mark}']):.4f}" for mark in self.marks]
        spread = [f"{THOUSAND * value:.2f}" for value in self.spread]
        first = ["uninterrupted: loss", *["–"] * 4, *losses, "–"]
        second = [f"{len(self.orders)} data orders: deviation", *["–"] * 4, *spread, "1"]
        return table(head, [first, second, *map(self._row, self.others)])

    def _row(self, row: dict) -> list[str]:
        if not row["ratio"]:
            return [row["run"], *["–"] * 4, *self._gap_cells(row)]
        error, scale = percent(float(row["measured_error"])), f"{float(row['scale']):.3f}"
        cells = [f"`{row['run']}`", row["restores"], f"{float(row['ratio']):.2f}", error, scale]
        return cells + self._gap_cells(row)

    def _gap_cells(self, row: dict) -> list[str]:
        if row["bit_identical"] == "True":
            return ["0"] * (len(self.marks) + 1)
        gaps = [f"{THOUSAND * gap:+.2f}" for gap in self.gaps(row)]
        return [*gaps, f"{self.worst(row):.2g}"]


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
    axes.plot(beta2.marks, beta2.spread, color="0.75", linewidth=7, label="between data orders")
    shown = [row for row in beta2.others if int(row["restores"]) in (0, times)]
    for row in shown:
        if row["bit_identical"] == "True":
            continue  # no gap to show on a logarithmic axis
        style = "o-" if row["ratio"] else "k:" if row["run"].startswith("no ") else "k--"
        axes.plot(beta2.marks, [abs(gap) for gap in beta2.gaps(row)], style, label=row["run"])
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
