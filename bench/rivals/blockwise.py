"""Block-wise dynamic 8-bit quantization of Adam's states, as 8-bit optimizers keep them.

By the paper's description (Dettmers et al., 2022), in numpy: for size and error, not for speed.
"""

import numpy as np

BLOCK = 256
DECADES = 7


def dynamic_map(signed: bool) -> np.ndarray:
    """256 values in -1..1 or 0..1: each decade has twice the values of the one below."""
    values = [0.0, 1.0]
    for decade in range(DECADES):
        borders = np.linspace(0.1, 1, 2 ** (decade + (not signed)) + 1)
        middles = (borders[:-1] + borders[1:]) / 2 * 10.0 ** (decade - DECADES + 1)
        values.extend(middles)
        if signed:
            values.extend(-middles)
    return np.sort(np.array(values, dtype=np.float32))


MAPS = {"exp_avg": dynamic_map(signed=True), "exp_avg_sq": dynamic_map(signed=False)}


def encode(role: str, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and the blocks' largest magnitudes: 8.125 bits an element."""
    padded = np.zeros(-(-array.size // BLOCK) * BLOCK, np.float32)
    padded[: array.size] = array
    blocks = padded.reshape(-1, BLOCK)
    scales = np.abs(blocks).max(axis=1)
    relative = blocks / np.where(scales == 0, 1, scales)[:, None]
    between = (MAPS[role][1:] + MAPS[role][:-1]) / 2
    codes = np.searchsorted(between, relative.reshape(-1)).astype(np.uint8)
    return codes[: array.size], scales


def decode(role: str, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return MAPS[role][codes] * np.repeat(scales, BLOCK)[: codes.size]
