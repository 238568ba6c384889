"""`make quality` in small: a tiny model, but every profile, real stores and real restores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

QUALITY = Path(__file__).resolve().parents[2] / "bench/quality"
sys.path.insert(0, str(QUALITY))

import quality  # noqa: E402
import quality_report  # noqa: E402

BOUNDS = {"high": 0.0025, "balanced": 0.012, "compact": 0.05, "tiny": 0.35}


def run_quick(out: Path) -> str:
    command = [sys.executable, QUALITY / "quality.py", "--quick", "--beta2", "0.95", "--out", out]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("quality")
    run_quick(out)
    return out


@pytest.fixture(scope="module")
def rows(folder) -> list[dict]:
    return quality_report.read(folder / "quality.csv")


def of(rows: list[dict], *names: str) -> list[dict]:
    """Restored once and often."""
    return [row for row in rows if row["run"] in names]


def gaps(row: dict) -> list[float]:
    return [float(row[f"gap_{mark}"]) for mark in quality_report.marks_of([row])]


def test_lossless_profiles_leave_no_gap(rows):
    lossless = of(rows, *quality.LOSSLESS)
    assert len(lossless) == 4
    for row in lossless:
        assert not any(gaps(row)) and row["bit_identical"] == "True"
        assert float(row["measured_error"]) == 0 and float(row["scale"]) == 1


def test_lossy_profiles_keep_their_bounds_and_state_them_truly(rows):
    for name, most in BOUNDS.items():
        for row in of(rows, name):
            measured = float(row["measured_error"])
            # Pairs that escape are exact, so that less may be lost than was said.
            assert 0.99 * float(row["stated_error"]) < measured < 1.001 * float(row["stated_error"])
            assert most / 2 < measured <= most
            assert row["bit_identical"] == "False"


def test_lost_optimizer_state_shows_and_a_nudge_does_not(rows):
    part = quality_report.Beta2(rows, "0.95")
    groups = {group.name: group for group in part.groups}
    nudged, lost = (groups[name] for name in quality.CONTROLS)
    assert min(gap for gaps in lost.gaps.values() for gap in gaps) > 0
    assert part.worst(lost) > 3
    assert part.worst(nudged) < 0.1


def test_data_orders_differ(rows):
    orders = quality_report.Beta2(rows, "0.95").orders
    assert len({row["loss_10"] for row in orders}) == len(orders) == 5


def test_a_broken_promise_is_told(rows):
    typed = [{**row, "bit_identical": row["bit_identical"] == "True"} for row in rows]
    assert quality.broken_promises(typed) == []
    typed[5]["bit_identical"] = False
    assert quality.broken_promises(typed) == ["b2 0.95, exact, restores 1: not bit-identical"]


def test_only_what_is_missing_is_measured_again(folder):
    before = (folder / "quality.csv").read_text()
    missing = folder / "0.95-tiny-1-0.json"
    files = {path: path.stat().st_mtime_ns for path in folder.glob("*.json") if path != missing}
    missing.unlink()
    run_quick(folder)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert missing.exists()
    after = (folder / "quality.csv").read_text()
    assert [without_ratio(line) for line in after.splitlines()] == [
        without_ratio(line) for line in before.splitlines()
    ]


def without_ratio(line):
    """What a repetition gives again: a run's random id makes a file a byte larger or smaller."""
    fields = line.split(",")[:17]
    return fields[:12] + fields[13:]


def test_report_shows_every_run(rows, tmp_path):
    tables = quality_report.tables(rows)
    for name in (*BOUNDS, "exact", "fast", "paper"):
        assert tables.count(f"| `{name}` |") == 2
    assert tables.count("| no optimizer state |") == 1
    quality_report.plot(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
