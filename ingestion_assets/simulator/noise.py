"""Numbers for any minute without its predecessors: hashes of (key, minute), and noise built on them.

Only additions, multiplications, divisions and shifts are used on floats, so the same seed gives the
same bits on every machine, whatever vector instructions numpy picks.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bits = NDArray[np.uint64]
Floats = NDArray[np.float64]

_OCTAVE_SHIFTS = (0, 3, 6, 9, 12, 15, 18, 21)
"""Octaves of 1, 8, 64 … 2,097,152 minutes (four years): each slower, each wider."""

_STEP = 0.0005
"""Width of the one-minute octave; an octave 8 times slower is √8 times wider, as a random walk's is."""


def key(*parts: object) -> int:
    """A 64-bit key of anything that can be written down."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def bits(key: int, first: int, count: int) -> Bits:
    """64 random bits for each of `count` consecutive integers (splitmix64 of a counter)."""
    x = np.arange(first, first + count, dtype=np.int64).view(np.uint64)
    x = x * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def signed(key: int, first: int, count: int) -> Floats:
    """Uniform numbers in [-1, 1), one for each of `count` consecutive integers."""
    return (bits(key, first, count) >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def wander(keys: tuple[int, ...], first: int, count: int) -> Floats:
    """A slow, rough, bounded (about ±1.12) function of the minute: octaves of interpolated noise."""
    minute = np.arange(first, first + count, dtype=np.int64)
    total = np.zeros(count)
    for shift, octave_key in zip(_OCTAVE_SHIFTS, keys, strict=True):
        width = _STEP * 2.0 ** (shift / 2)
        if shift == 0:
            total += signed(octave_key, first, count) * width
            continue
        cell = minute >> shift
        lattice = signed(octave_key, int(cell[0]), int(cell[-1] - cell[0]) + 2) * width
        cell -= cell[0]
        left = lattice[cell]
        part = (minute & ((1 << shift) - 1)) * 2.0**-shift
        total += left + (lattice[1:][cell] - left) * part
    return total


def octave_keys(*parts: object) -> tuple[int, ...]:
    """One key per octave of `wander`."""
    return tuple(key(*parts, shift) for shift in _OCTAVE_SHIFTS)


def slot(random: Bits, shift: int) -> NDArray[np.intp]:
    """Ten of the 64 bits, as an index into a table of 1,024 quantiles."""
    return ((random >> np.uint64(shift)) & np.uint64(1023)).astype(np.intp)


_middle: Floats = np.arange(0.5, 1024.0).astype(np.float64) / 1024.0
EXPONENTIAL: Floats = np.round(-np.log1p(-_middle), 6).astype(np.float64)
"""Quantiles of how far a price strays within its minute (mean 1)."""
BURST: Floats = np.round(0.25 + 0.45 * np.log1p(-_middle) ** 2, 6).astype(np.float64)
"""Quantiles of how busy a minute is: mostly calm, sometimes twenty times the usual."""
UNIFORM: Floats = _middle
