"""bench/stall on a model of no size: each row says what it should, and one failure costs one row."""

import csv
import subprocess
import sys
from pathlib import Path

STALL = Path(__file__).parents[2] / "bench/stall"
sys.path.append(str(STALL))
import stall_report  # noqa: E402


def measure(path, way, *options):
    command = [sys.executable, STALL / "run.py", "--csv", path, "--only", way, "--size", "tiny"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(path, encoding="utf-8") as file:
        return {row["way"]: row for row in csv.DictReader(file)}


def test_rows_and_table(tmp_path):
    path, steps = tmp_path / "stall.csv", ("--steps", "4", "--every", "2")
    assert list(measure(path, "no saving", *steps)) == ["no saving"]
    rows = measure(path, "bitsnap fast, thread", *steps)
    assert list(rows) == ["no saving", "bitsnap fast, thread"]  # the first is kept
    saved = rows["bitsnap fast, thread"]
    assert saved["saves"] == "2" and float(saved["lag_s"]) >= float(saved["blocked_s"]) > 0
    assert int(saved["written_bytes"]) > 0.9 * int(saved["state_bytes"])
    failed = measure(path, "torch.save", "--steps", "none")
    assert "ended with" in failed["torch.save"]["note"]
    table = stall_report.table(stall_report.read(path)).splitlines()
    assert [line.split(" | ")[0] for line in table[4:]] == [
        "| no saving", "| torch.save", "| bitsnap fast, thread",
    ]  # fmt: skip
    assert "ended with 2" in table[5]
