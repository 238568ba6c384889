"""How small the trace's pairs could be: empirical entropies, summed over tensors.

For weights with a base: the order-0 entropy of the zigzagged difference in ULP order, also under
the context of the base's exponent. Without one: of the byte planes. Histograms are free here, so
a coder that must describe its own stays a little above.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from traces import PAIRS, Pair, by_role, load, parameters

EPS = 1e-8
# Update error, and how many of the master's 16 low bits are kept.
PROFILES = {"high": (0.0025, 8), "balanced": (0.012, 8), "compact": (0.05, 5), "tiny": (0.35, 2)}


def entropy(symbols: np.ndarray) -> float:
    """Bits of all symbols together, at the order-0 entropy of their own histogram."""
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / symbols.size)).sum())


def conditional_entropy(symbols: np.ndarray, context: np.ndarray) -> float:
    return entropy((context.astype(np.int64) << 32) | symbols) - entropy(context)


def ulp_order(bits: np.ndarray) -> np.ndarray:
    """Integers that count the values between two floats: sign and magnitude, -0 just below +0."""
    width = bits.itemsize * 8
    magnitude = (bits & bits.dtype.type((1 << (width - 1)) - 1)).astype(np.int64)
    return np.where(bits >> (width - 1), -magnitude - 1, magnitude)


def zigzag(difference: np.ndarray) -> np.ndarray:
    return (difference << 1) ^ (difference >> 63)


def exponent(bits: np.ndarray, mantissa_bits: int) -> np.ndarray:
    """Sign apart."""
    return (bits & 0x7FFF) >> mantissa_bits


def planes(tensor: np.ndarray) -> float:
    """Bits of a tensor as byte planes, each at its own entropy."""
    octets = tensor.reshape(-1).view(np.uint8).reshape(-1, tensor.itemsize)
    return sum(entropy(octets[:, plane]) for plane in range(tensor.itemsize))


def as_16_bits(tensors: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """The weights as the trace has them, in bf16, or as an fp16 run would have rounded them."""
    if dtype == "bf16":
        return by_role(tensors)["weight"]
    masters = by_role(tensors)["master"]
    return {name: master.astype(np.float16).view(np.uint16) for name, master in masters.items()}


class WeightBound:
    """Of one pair; in bits, changed apart."""

    def __init__(self, base: dict, current: dict, dtype: str) -> None:
        mantissa_bits = 7 if dtype == "bf16" else 10
        old, new = as_16_bits(base, dtype), as_16_bits(current, dtype)
        self.raw = 16 * sum(tensor.size for tensor in new.values())
        self.changed = self.bitmask = self.ulp = self.by_exponent = 0.0
        for name, tensor in new.items():
            a, b = old[name].reshape(-1), tensor.reshape(-1)
            difference = zigzag(ulp_order(b) - ulp_order(a))
            changed = int(np.count_nonzero(difference))
            self.changed += changed * 16 / self.raw
            self.bitmask += b.size + 16 * changed
            self.ulp += entropy(difference)
            self.by_exponent += conditional_entropy(difference, exponent(a, mantissa_bits))


def master_low_bits(tensors: dict[str, np.ndarray], name: str) -> float:
    """The master's bits that its bf16 weight does not tell, order-0 in two bytes."""
    bits = tensors[f"optimizer.state.{name}.master"].view(np.uint32)
    return planes((bits & 0xFFFF).astype(np.uint16))


def update(m: np.ndarray, v: np.ndarray) -> np.ndarray:
    return m / (np.sqrt(v) + EPS)


def on_grid(values: np.ndarray, step: float) -> np.ndarray:
    return np.rint(values / step).astype(np.int64)


class Coded:
    """m and v of one parameter on the grids of an update error: v by its log2, then u given the
    decoded v.
    """

    def __init__(self, m: np.ndarray, v: np.ndarray, error: float) -> None:
        m, v = m.astype(np.float64), v.astype(np.float64)
        exact = update(m, v)
        # Uniform noise of a grid g in log2 v is g * ln 2 / (2 * sqrt 12) in u, relatively.
        share = error / np.sqrt(2)
        self.v_grid = share * 2 * np.sqrt(12) / np.log(2)
        self.u_grid = share * np.sqrt(12) * max(np.sqrt(np.mean(exact**2)), 1e-30)
        self.logs = logs_of(v)
        self.decoded_logs = on_grid(self.logs, self.v_grid) * self.v_grid
        self.u = update(m, np.where(v == 0, 0, np.exp2(self.decoded_logs)))
        self.decoded_u = on_grid(self.u, self.u_grid) * self.u_grid
        norm = np.linalg.norm(exact)
        self.error = float(np.linalg.norm(exact - self.decoded_u) / norm) if norm else 0.0


class MomentBound:
    """m and v of one parameter at a given update error, in bits: v on a grid by rows and columns,
    then u on a grid; both less what a straight line from the base's predicts. Of the base a decoder
    has what was coded with the same error.
    """

    def __init__(self, m: np.ndarray, v: np.ndarray, error: float, base: tuple | None = None):
        coded = Coded(m, v, error)
        self.error = coded.error
        deviation = coded.logs - rows_and_columns(coded.logs)
        self.v = entropy(on_grid(deviation, coded.v_grid))
        self.u = entropy(on_grid(coded.u, coded.u_grid))
        if base is not None:
            old = Coded(*base, error)
            old_logs = old.decoded_logs
            of_v = [(coded.logs, old_logs), (deviation, old_logs - rows_and_columns(old_logs))]
            self.v = min(
                self.v, *(entropy(on_grid(beyond_line(*xy), coded.v_grid)) for xy in of_v)
            )
            predicted = beyond_line(coded.u, old.decoded_u)
            self.u = min(self.u, entropy(on_grid(predicted, coded.u_grid)))


def logs_of(v: np.ndarray) -> np.ndarray:
    return np.log2(np.where(v == 0, 1, v))


def beyond_line(values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """What the straight line from `base` that fits best leaves of `values`."""
    centred = base - base.mean()
    spread = np.sum(centred**2)
    slope = np.sum(centred * values) / spread if spread else 0.0
    return values - values.mean() - slope * centred


def rows_and_columns(logs: np.ndarray) -> np.ndarray:
    """What a matrix's row and column means predict; for others, the mean."""
    if logs.ndim != 2:
        return np.full_like(logs, logs.mean())
    return logs.mean(1, keepdims=True) + logs.mean(0, keepdims=True) - logs.mean()


def weights_alone(tensors: dict[str, np.ndarray]) -> float:
    return sum(planes(tensor) for tensor in by_role(tensors)["weight"].values())


def moments_of(tensors: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    return tuple(tensors[f"optimizer.state.{name}.{key}"] for key in ("exp_avg", "exp_avg_sq"))


def optimizer_exact(base: dict | None, current: dict) -> float:
    """Masters by their weights; moments as byte planes, or those of the difference to the base."""
    bits = 0.0
    for name in parameters(current):
        bits += master_low_bits(current, name)
        old = moments_of(base, name) if base else (None, None)
        for tensor, before in zip(moments_of(current, name), old):
            bits += min(planes(tensor), planes_of_difference(before, tensor))
    return bits


def planes_of_difference(base: np.ndarray | None, tensor: np.ndarray) -> float:
    if base is None:
        return float("inf")
    a, b = (ulp_order(x.view(np.uint32)) for x in (base, tensor))
    return planes(zigzag(b - a).astype(np.uint64))


def optimizer_within(error: float, master_bits: int, base: dict | None, current: dict) -> float:
    bits = 0.0
    for name in parameters(current):
        m, v = moments_of(current, name)
        moments = MomentBound(m, v, error, moments_of(base, name) if base else None)
        bits += moments.v + moments.u + master_bits * m.size
    return bits


def ratios(pair: Pair, base: dict | None, current: dict) -> dict[str, float]:
    """By what: changed fraction and ratios of the weights, ratios of the whole by profile."""
    found = {}
    raw = 8 * sum(tensor.nbytes for tensor in current.values())
    weights = weights_alone(current)
    found["bf16 planes"] = raw / 7 / weights
    for dtype in ("bf16", "fp16") if base else ():
        bound = WeightBound(base, current, dtype)
        found[f"{dtype} changed"] = bound.changed
        found[f"{dtype} bitmask"] = bound.raw / bound.bitmask
        found[f"{dtype} ULP"] = bound.raw / bound.ulp
        found[f"{dtype} ULP by exponent"] = bound.raw / bound.by_exponent
        if dtype == "bf16":
            weights = min(weights, bound.by_exponent)
    found["weight"] = raw / 7 / weights
    found["exact"] = raw / (weights + optimizer_exact(base, current))
    for profile, (error, master_bits) in PROFILES.items():
        found[profile] = raw / (weights + optimizer_within(error, master_bits, base, current))
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", type=Path, default=Path("runs/trace"))
    parser.add_argument("--out", type=Path, default=Path("bench/results/bound.csv"))
    return parser.parse_args()


def main() -> int:
    options = parse()
    with open(options.out, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["pair", "what", "value"])
        for pair in PAIRS:
            base = load(options.trace, pair.base) if pair.base else None
            for what, value in ratios(pair, base, load(options.trace, pair.current)).items():
                rows.writerow([pair, what, f"{value:.4g}"])
                print(f"{pair!s:12} {what:24} {value:8.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
