"""Sums, moments and fading means over the last n values, each from the same few additions.

A rolling sum that adds the newest value and takes the oldest away depends on where it began, and loses
digits on the way. Here the sum over 2k values is the sum over the newer k plus the sum over the older k,
so each result is made of the values in its window and of nothing else, by additions in an order that is
always the same: whatever else is in the array, it has the same bits. And it is a whole array's work at a
time. Arrays may have several rows; time runs along the last axis. What is given back ends where the
values end, and begins with the first window that they fill.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_FADED = 1e-11  # a weight that no longer matters
Moments = tuple[np.ndarray, np.ndarray]
Extent = tuple[np.ndarray, np.ndarray, np.ndarray]


def rolling_sums(values: np.ndarray, *lengths: int) -> list[np.ndarray]:
    """The sum of the last n values, for each n."""
    doubled = {1: values}
    for size in _sizes(max(lengths)):
        doubled[2 * size] = doubled[size][..., size:] + doubled[size][..., :-size]
    sums = []
    for length in lengths:
        (count, total), *older = ((size, doubled[size]) for size in _parts(length))
        for size, part in older:
            total = total[..., size:] + part[..., :-count]
            count += size
        sums.append(total)
    return sums


def rolling_moments(values: np.ndarray, length: int) -> Moments:
    """Mean and variance (ddof 0) of the last n values.

    Equal values have a variance of exactly 0 if n is a power of two, or the sum of two of them.
    """
    doubled: dict[int, Moments] = {1: (values, np.zeros_like(values))}
    for size in _sizes(length):
        doubled[2 * size] = _joined(doubled[size], size, doubled[size], size)
    (count, both), *older = ((size, doubled[size]) for size in _parts(length))
    for size, part in older:
        both = _joined(both, count, part, size)
        count += size
    return both[0] / length, both[1] / length


def _joined(newer: Moments, count: int, older: Moments, size: int) -> Moments:
    """Sum and squared distance from the mean of `count` values and the `size` values before them."""
    sums, spreads = newer[0][..., size:], older[0][..., :-count]
    apart = sums - spreads if count == size else sums * (size / count) - spreads
    np.multiply(apart, apart, out=apart)
    apart *= count / (size * (size + count))
    if count > 1:  # one value is not apart from its own mean
        apart += newer[1][..., size:]
        apart += older[1][..., :-count]
    return sums + spreads, apart


def rolling_drawdowns(prices: np.ndarray, length: int) -> np.ndarray:
    """The lowest of price / highest price before it, − 1, of the last n; what is NaN does not count."""
    absent = np.isnan(prices)
    doubled: dict[int, Extent] = {
        1: (np.where(absent, 0, prices), np.where(absent, np.inf, prices), np.ones_like(prices))
    }
    for size in _sizes(length):
        doubled[2 * size] = _one_after(doubled[size], size, doubled[size], size)
    (count, whole), *older = ((size, doubled[size]) for size in _parts(length))
    for size, part in older:
        whole = _one_after(whole, count, part, size)
        count += size
    return whole[2] - 1


def _one_after(newer: Extent, count: int, older: Extent, size: int) -> Extent:
    """Highest, lowest, and deepest fall of `count` prices and the `size` prices before them."""
    high, low, fall = (each[size:] for each in newer)
    high_before, low_before, fall_before = (each[:-count] for each in older)
    with np.errstate(divide="ignore"):  # below a highest that is none lies nothing
        between = low / high_before
    deepest = np.minimum(np.minimum(fall, fall_before), between)
    return np.maximum(high, high_before), np.minimum(low, low_before), deepest


def fading_means(values: np.ndarray, decay: float, run: np.ndarray, skip: int = 0) -> np.ndarray:
    """The mean with weights decay^age over the last `span_of(decay)` values: an EMA with bounded memory.

    `run` tells how many unbroken bars lead to each place; those before a break have no weight, nor have
    the first `skip` bars after it, whose values mean nothing.
    """
    span, least, total = span_of(decay), int(run.min()), values
    for size in _sizes(span):
        older = total[..., :-size] * decay**size
        if least <= size + skip:
            older *= run[2 * size - 1 :] > size + skip
        older += total[..., size:]
        total = older
    weights = (1 - decay ** np.arange(1, span + 1)) / (1 - decay)
    if least >= span + skip:
        total *= 1 / weights[-1]
    else:
        total *= (1 / weights)[np.clip(run[span - 1 :] - skip, 1, span) - 1]
    return total


def span_of(decay: float) -> int:
    """After how many bars, a power of two, weights have faded away."""
    span = 1
    while decay**span > _FADED:
        span *= 2
    return span


def rolling_highest(values: np.ndarray, length: int, run: np.ndarray) -> np.ndarray:
    """The highest of the last n values, n a power of two, that no break divides from this one.

    As long as the values: those at the beginning look back as far as there are any.
    """
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


def _parts(length: int) -> Iterator[int]:
    """The powers of two that a length is made of, the largest first."""
    for bit in reversed(range(length.bit_length())):
        if length >> bit & 1:
            yield 1 << bit
