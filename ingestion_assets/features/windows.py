"""Sums, moments and fading means over the last n values, each from the same few additions.

A rolling sum that adds the newest value and takes the oldest away depends on where it began, and loses
digits on the way. Here the sum over 2k values is the sum over the newer k plus the sum over the older k,
so each result is made of the values in its window and of nothing else, by additions in an order that is
always the same: whatever else is in the array, it has the same bits. And it is a whole array's work at a
time. Arrays may have several rows; time runs along the last axis. The first n − 1 results lack values
and mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_FADED = 1e-11  # a weight that no longer matters


def rolling_sums(values: np.ndarray, *lengths: int) -> list[np.ndarray]:
    """The sum of the last n values, for each n."""
    doubled = [values]
    for size in _sizes(max(lengths)):
        whole = doubled[-1].copy()
        whole[..., size:] += doubled[-1][..., :-size]
        doubled.append(whole)
    sums = []
    for length in lengths:
        parts = _parts(length)
        size, _ = next(parts)
        total = doubled[size.bit_length() - 1].copy()
        for size, newer in parts:
            total[..., newer:] += doubled[size.bit_length() - 1][..., :-newer]
        sums.append(total)
    return sums


def rolling_moments(values: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (ddof 0) of the last n values; equal values have a variance of exactly 0."""
    doubled = [(values, np.zeros_like(values))]
    for size in _sizes(length):
        doubled.append(_joined(doubled[-1], size, doubled[-1], size))
    parts = _parts(length)
    count, _ = next(parts)
    both = doubled[count.bit_length() - 1]
    for size, newer in parts:
        both = _joined(both, newer, doubled[size.bit_length() - 1], size)
    return both[0] / length, both[1] / length


def _joined(
    newer: tuple[np.ndarray, np.ndarray], count: int, older: tuple[np.ndarray, np.ndarray], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and squared distance from the mean of `count` values and the `size` values before them."""
    total, spread = newer[0].copy(), newer[1].copy()
    sums, spreads = (each[..., :-count] for each in older)
    apart = total[..., count:] * (size / count)
    apart -= sums
    apart *= apart
    apart *= count / (size * (size + count))
    spread[..., count:] += apart
    spread[..., count:] += spreads
    total[..., count:] += sums
    return total, spread


def fading_means(values: np.ndarray, decay: float, run: np.ndarray, skip: int = 0) -> np.ndarray:
    """The mean with weights decay^age: what an EMA recursion converges to, over a bounded window.

    `run` tells how many unbroken bars lead to each place; those before a break have no weight, nor have
    the first `skip` bars after it, whose values mean nothing.
    """
    span = span_of(decay)
    least = int(run.min())
    total = values.copy()
    for size in _sizes(span):
        older = total[..., :-size] * decay**size
        if least <= size + skip:
            older *= run[size:] > size + skip
        total[..., size:] += older
    weights = (1 - decay ** np.arange(1, span + 1)) / (1 - decay)
    if least >= span + skip:
        total /= weights[-1]
    else:
        total /= weights[np.clip(run - skip, 1, span) - 1]
    return total


def span_of(decay: float) -> int:
    """After how many bars, a power of two, weights have faded away."""
    span = 1
    while decay**span > _FADED:
        span *= 2
    return span


def rolling_highest(values: np.ndarray, length: int, run: np.ndarray) -> np.ndarray:
    """The highest of the last n values, n a power of two, that no break divides from this one."""
    highest = values.copy()
    for size in _sizes(length):
        older = np.where(run[size:] > size, highest[:-size], highest[size:])
        np.maximum(highest[size:], older, out=highest[size:])
    return highest


def _sizes(length: int) -> Iterator[int]:
    """1, 2, 4, … as long as twice as many still fit into the length."""
    size = 1
    while 2 * size <= length:
        yield size
        size *= 2


def _parts(length: int) -> Iterator[tuple[int, int]]:
    """The powers of two that a length is made of, the newest and largest first, and how many are newer."""
    newer = 0
    for bit in reversed(range(length.bit_length())):
        if length >> bit & 1:
            yield 1 << bit, newer
            newer += 1 << bit
