"""Lossless rivals. Each codes an array into bytes and back, on one thread.

16-bit weights come as uint16, which is what those without bf16 make of them.
"""

import numpy as np


class Zstd:
    def __init__(self, level: int) -> None:
        import zstandard

        self.name = f"zstd -{level}"
        self.compressor = zstandard.ZstdCompressor(level=level)
        self.decompressor = zstandard.ZstdDecompressor()

    def encode(self, array: np.ndarray) -> bytes:
        return self.compressor.compress(array.data)

    def decode(self, coded: bytes, like: np.ndarray) -> np.ndarray:
        return np.frombuffer(self.decompressor.decompress(coded), like.dtype)


class ZipNN:
    """Its delta is the XOR with the base before all else, as in Xor."""

    name = "ZipNN"

    def __init__(self) -> None:
        from zipnn import ZipNN as Implementation

        self.by_dtype = {
            dtype: Implementation(bytearray_dtype=name, input_format="byte", threads=1)
            for dtype, name in ((np.uint16, "bfloat16"), (np.float32, "float32"))
        }
        self.by_dtype[np.uint32] = self.by_dtype[np.float32]

    def encode(self, array: np.ndarray) -> bytes:
        # A copy: it reorders the bits of its input in place.
        return self.by_dtype[array.dtype.type].compress(array.tobytes())

    def decode(self, coded: bytes, like: np.ndarray) -> np.ndarray:
        return np.frombuffer(self.by_dtype[like.dtype.type].decompress(coded), like.dtype)


class Blosc2:
    """Shuffle, the byte-delta filter, zstd."""

    name = "Blosc2 byte-delta"

    def __init__(self) -> None:
        import blosc2

        self.blosc2 = blosc2
        blosc2.set_nthreads(1)

    def encode(self, array: np.ndarray) -> bytes:
        filters = self.blosc2.Filter
        return self.blosc2.compress2(
            array,
            codec=self.blosc2.Codec.ZSTD,
            clevel=5,
            typesize=array.itemsize,
            filters=[filters.SHUFFLE, filters.BYTEDELTA],
            filters_meta=[0, array.itemsize],
            nthreads=1,
        )

    def decode(self, coded: bytes, like: np.ndarray) -> np.ndarray:
        return np.frombuffer(self.blosc2.decompress2(coded, nthreads=1), like.dtype)


class Pcodec:
    name = "pcodec"

    def __init__(self) -> None:
        import pcodec

        self.pcodec = pcodec

    def encode(self, array: np.ndarray) -> bytes:
        return self.pcodec.standalone.simple_compress(array, self.pcodec.ChunkConfig())

    def decode(self, coded: bytes, like: np.ndarray) -> np.ndarray:
        return self.pcodec.standalone.simple_decompress(coded)


class Xor:
    """A rival on the XOR with the base, which is all the delta that any of them has."""

    def __init__(self, inner) -> None:
        self.name = f"{inner.name}, XOR"
        self.inner = inner

    def encode(self, array: np.ndarray, base: np.ndarray) -> bytes:
        return self.inner.encode(self._bits(array) ^ self._bits(base))

    def decode(self, coded: bytes, base: np.ndarray) -> np.ndarray:
        return (self.inner.decode(coded, self._bits(base)) ^ self._bits(base)).view(base.dtype)

    @staticmethod
    def _bits(array: np.ndarray) -> np.ndarray:
        return array.view(f"u{array.itemsize}")


MAKERS = {
    "zstd -1": lambda: Zstd(1),
    "zstd -3": lambda: Zstd(3),
    "ZipNN": ZipNN,
    "Blosc2 byte-delta": Blosc2,
    "pcodec": Pcodec,
}
