"""All codecs over the trace, one thread each; a CSV of what came out.

`ratios` takes pair by pair; `speeds` takes all pairs at once, and wants a quiet machine. The rivals
get each role's tensors as one array; BitSnap saves and restores whole checkpoints.
"""

import argparse
import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import blockwise
import lossless
import ours
from bound import update
from safetensors.torch import load_file, save_file
from traces import PAIRS, Pair, by_role, flat, load

FIELDS = [
    *("pair", "codec", "role", "raw_bytes", "stored_bytes", "ratio", "encode_gb_s", "decode_gb_s"),
    *("memcpy_gb_s", "relative_error", "update_error", "note"),
]
# Every pair's checkpoints in one, so that speeds are those of more than a cache holds.
TOGETHER = "all together"
MOST_RUNS = 3
ENOUGH_SECONDS = 0.5


def best_seconds(work) -> tuple[float, object]:
    """Of a few runs of `work`; its result too."""
    best, spent, result = float("inf"), 0.0, None
    for _ in range(MOST_RUNS):
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        best, spent = min(best, seconds), spent + seconds
        if spent > ENOUGH_SECONDS:
            break
    return best, result


def memcpy_rate() -> float:
    source = np.ones(256 << 20, np.uint8)
    target = np.empty_like(source)
    np.copyto(target, source)
    return source.size / best_seconds(lambda: np.copyto(target, source))[0] / 1e9


def same_bits(x: np.ndarray, y: np.ndarray) -> bool:
    return np.array_equal(x.view(np.uint8), y.view(np.uint8))


def measure_role(codec, array: np.ndarray, base: np.ndarray | None) -> dict:
    """`base` only for a codec that uses one."""
    if base is None:
        encoding, coded = best_seconds(lambda: codec.encode(array))
        decoding, decoded = best_seconds(lambda: codec.decode(coded, array))
    else:
        encoding, coded = best_seconds(lambda: codec.encode(array, base))
        decoding, decoded = best_seconds(lambda: codec.decode(coded, base))
    if not same_bits(array, decoded):
        raise AssertionError(f"{codec.name} did not give back what it was given")
    rates = {"encode_gb_s": array.nbytes / encoding / 1e9, "decode_gb_s": array.nbytes / decoding / 1e9}
    return {"raw_bytes": array.nbytes, "stored_bytes": len(coded), "relative_error": 0.0, **rates}


def whole(rows: list[dict]) -> dict:
    raw = sum(row["raw_bytes"] for row in rows)
    total = {"role": "whole", "raw_bytes": raw, "stored_bytes": sum(r["stored_bytes"] for r in rows)}
    for rate in ("encode_gb_s", "decode_gb_s"):
        if all(rate in row for row in rows):
            total[rate] = raw / sum(row["raw_bytes"] / row[rate] for row in rows)
    return total


def run_lossless(name: str, maker, current: dict, base: dict | None) -> list[dict]:
    """Rows of one rival, on the XOR with the base too where there is one."""
    try:
        codec = maker()
    except ImportError as missing:
        return [{"codec": name, "role": "whole", "note": f"not installed: {missing}"}]
    rows = []
    for variant, other in [(codec, None)] + ([(lossless.Xor(codec), base)] if base else []):
        try:
            part = [
                {"role": role, **measure_role(variant, array, other and other[role])}
                for role, array in current.items()
            ]
            part.append(whole(part))
        except Exception as failure:  # a rival's failure is a result, not ours
            part = [{"role": "whole", "note": f"failed: {failure}"}]
        rows += [{"codec": variant.name, **row} for row in part]
    return rows


def run_blockwise(tensors: dict[str, np.ndarray], current: dict) -> list[dict]:
    """Weights and masters stay as they are."""
    roles = by_role(tensors)
    stored, errors = dict.fromkeys(("exp_avg", "exp_avg_sq"), 0), []
    for m_name, v_name in zip(roles["exp_avg"], roles["exp_avg_sq"]):
        decoded = {}
        for role, name in (("exp_avg", m_name), ("exp_avg_sq", v_name)):
            codes, scales = blockwise.encode(role, tensors[name].reshape(-1))
            stored[role] += codes.nbytes + scales.nbytes
            decoded[role] = blockwise.decode(role, codes, scales).astype(np.float64)
        m, v = (tensors[name].reshape(-1).astype(np.float64) for name in (m_name, v_name))
        u = update(m, v)
        restored = update(decoded["exp_avg"], decoded["exp_avg_sq"])
        errors.append(np.linalg.norm(u - restored) / max(np.linalg.norm(u), 1e-300))
    rows = [
        {
            "role": role,
            "raw_bytes": array.nbytes,
            "stored_bytes": stored.get(role, array.nbytes),
            "update_error": max(errors) if role in stored else None,
        }
        for role, array in current.items()
    ]
    rows.append(whole(rows))
    return [{"codec": "block-wise 8-bit", **row} for row in rows]


def run_pair(folder: Path, pair: Pair, files: list[Path], title: str) -> list[dict]:
    tensors = load(folder, pair.current)
    current, base = flat(tensors), flat(load(folder, pair.base)) if pair.base else None
    rate = memcpy_rate()
    rows = []
    for name, maker in lossless.MAKERS.items():
        rows += run_lossless(name, maker, current, base)
    rows += run_blockwise(tensors, current)
    rows = [{"memcpy_gb_s": rate, **row} for row in rows]
    rows += ours.run(files)
    for row in rows:
        row["pair"] = title
        if row.get("stored_bytes"):
            row["ratio"] = row["raw_bytes"] / row["stored_bytes"]
    return rows


def file_of(folder: Path, stem: str) -> Path:
    return folder / f"{stem}.safetensors"


def prefixed(name: str, number: int) -> str:
    head = "model." if name.startswith("model.") else "optimizer.state."
    return f"{head}pair{number}.{name.removeprefix(head)}"


def write_together(trace: Path, folder: Path) -> Pair:
    """Two files with the pairs' bases and currents, told apart by a prefix.

    Of pairs with the same current one is enough: BitSnap stores equal tensors once.
    """
    pairs = {pair.current: pair for pair in PAIRS if pair.base}.values()
    for side in ("base", "current"):
        tensors = {}
        for number, pair in enumerate(pairs):
            for name, tensor in load_file(file_of(trace, getattr(pair, side))).items():
                if tensor.dim():
                    tensors[prefixed(name, number)] = tensor
        save_file(tensors, file_of(folder, side))
    return Pair("base", "current")


def value(row: dict, field: str) -> object:
    number = row.get(field)
    return f"{number:.5g}" if isinstance(number, float) else number


def ratio_jobs(trace: Path, scratch: Path) -> list[tuple[Path, Pair, str]]:
    return [(trace, pair, str(pair)) for pair in PAIRS]


def speed_jobs(trace: Path, scratch: Path) -> list[tuple[Path, Pair, str]]:
    together = write_together(trace, scratch)
    alone = Pair(None, together.current)
    return [(scratch, together, TOGETHER), (scratch, alone, f"{TOGETHER}, alone")]


JOBS = {"ratios": ratio_jobs, "speeds": speed_jobs}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=JOBS)
    parser.add_argument("--trace", type=Path, default=Path("runs/trace"))
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    return parser.parse_args()


def main() -> int:
    options = parse()
    rows = []
    with tempfile.TemporaryDirectory(dir=options.trace) as scratch:
        for folder, pair, title in JOBS[options.what](options.trace, Path(scratch)):
            started = time.perf_counter()
            files = [file_of(folder, stem) for stem in (pair.base, pair.current) if stem]
            rows += run_pair(folder, pair, files, title)
            print(f"{title}: {time.perf_counter() - started:.0f} s", flush=True)
    with open(options.out / f"{options.what}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows([value(row, field) for field in FIELDS] for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
