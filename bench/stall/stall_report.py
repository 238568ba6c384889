"""Turns bench/results/stall.csv into its table in docs/benchmarks.md."""

import csv
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench/results/stall.csv"
PAGE = ROOT / "docs/benchmarks.md"
HEAD = [
    "saving", "total s", "lost", "lost, medians", "processor s, median", "blocked, first s", "blocked s",
    "of memcpy", "lag s", "peak memory", "written",
]  # fmt: skip
BEGIN, END = "<!-- stall -->", "<!-- end of stall -->"


def read(path: Path) -> dict[str, dict]:
    """Each way's quickest run, with the medians of total and processor time; or else the note."""
    rows: dict[str, list[dict]] = {}
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row.pop("way"), []).append(row)
    return {way: quickest(repeats) for way, repeats in rows.items()}


def quickest(repeats: list[dict]) -> dict:
    ran = [row for row in repeats if row["total_s"]]
    if not ran:
        return {"note": repeats[0]["note"]}
    best = min(ran, key=lambda row: float(row["total_s"]))
    total, processor = (
        median(float(row[key]) for row in ran) for key in ("total_s", "processor_s")
    )
    return {
        **{key: float(value) for key, value in best.items() if key != "note"},
        "median_s": total,
        "processor_s": processor,
    }


def table(ways: dict[str, dict]) -> str:
    nothing = ways["no saving"]
    ran = [row for row in ways.values() if "memcpy_s" in row]
    memcpy, parallel = (min(row[key] for row in ran) for key in ("memcpy_s", "memcpy_threads_s"))
    lines = [HEAD, ["---", *["--:"] * (len(HEAD) - 1)]]
    for way, row in ways.items():
        if "note" in row:
            lines.append([way, row["note"], *[""] * (len(HEAD) - 2)])
            continue
        lost, middle = (100 * (row[key] / nothing[key] - 1) for key in ("total_s", "median_s"))
        cells = [way, f"{row['total_s']:.1f}"]
        if row is not nothing:
            cells += [f"{lost:.1f} %", f"{middle:.1f} %", f"{row['processor_s']:.1f}"]
            cells += [f"{row['blocked_first_s']:.2f}", f"{row['blocked_s']:.2f}"]
            cells += [f"{row['blocked_s'] / memcpy:.1f}", f"{row['lag_s']:.1f}"]
        else:
            cells += ["–", "–", f"{row['processor_s']:.1f}", *["–"] * 4]
        cells += [f"{row['peak_bytes'] / 1e9:.2f} GB", f"{row['written_bytes'] / 1e9:.2f} GB"]
        lines.append(cells)
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    size = f"{nothing['parameters'] / 1e6:.0f} million parameters, {nothing['state_bytes'] / 1e6:.0f} MB"
    copies = (
        f"one memcpy of the state into warm memory takes {memcpy:.3f} s on one thread, "
        f"{parallel:.3f} s on {nothing['memcpy_threads']:.0f}"
    )
    return f"{size}; {copies}.\n\n{text}"


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN, 1)
    content = table(read(RESULTS))
    PAGE.write_text(f"{head}{BEGIN}\n{content}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")
    print(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
