"""Window arithmetic beside plain loops in exact or high precision, and that it depends on the window only."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.features.windows import (
    fading_means,
    rolling_highest,
    rolling_moments,
    rolling_sums,
    span_of,
)

values = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=90).map(np.array)
lengths = st.integers(1, 64)


def windows(given: np.ndarray, length: int) -> list[list[Fraction]]:
    exact = [Fraction(float(value)) for value in given]
    return [exact[end - length : end] for end in range(length, len(exact) + 1)]


@given(values, lengths)
def test_sums_are_those_of_each_window(given: np.ndarray, length: int) -> None:
    (sums,) = rolling_sums(given, length)
    exact = [sum(window) for window in windows(given, length)]
    assert len(sums) == len(exact)
    assert sums.tolist() == pytest.approx([float(each) for each in exact], rel=1e-12, abs=1e-9)


@given(values, lengths)
def test_moments_are_those_of_each_window(given: np.ndarray, length: int) -> None:
    means, variances = rolling_moments(given, length)
    exact = [sum(w) / length for w in windows(given, length)]
    assert means.tolist() == pytest.approx([float(each) for each in exact], rel=1e-12, abs=1e-9)
    spread = [
        float(sum((v - mean) ** 2 for v in w) / length)
        for w, mean in zip(windows(given, length), exact, strict=True)
    ]
    assert variances.tolist() == pytest.approx(spread, rel=1e-9, abs=1e-12)


@given(st.floats(1e-9, 1e9), st.sampled_from([1, 2, 3, 8, 20, 24, 36, 64]))
def test_equal_values_have_no_variance_at_all(value: float, length: int) -> None:
    _, variances = rolling_moments(np.full(80, value), length)
    assert not variances.any()


def test_a_small_variance_beside_a_large_mean_is_not_lost() -> None:
    given = 1e9 + np.resize([0.0, 1e-3], 40)
    _, variances = rolling_moments(given, 20)
    exact = [np.var((given - 1e9)[start : start + 20]) for start in range(21)]
    assert variances.tolist() == pytest.approx(exact, rel=1e-6)


@given(values, st.floats(0.05, 0.9), st.data())
def test_fading_means_are_weighted_means_of_the_unbroken_bars(
    given: np.ndarray, decay: float, data: st.DataObject
) -> None:
    broken = data.draw(st.sets(st.integers(0, len(given) - 1)))
    skip = data.draw(st.integers(0, 3))
    span, run, count = span_of(decay), [], 0
    for place in range(len(given)):
        count = 1 if place in broken else count + 1
        run.append(count)
    lead = np.zeros(span - 1)
    made = fading_means(
        np.concatenate([lead + 7, given]), decay, np.array([*[0] * len(lead), *run], np.int32), skip
    )
    for place, bars in enumerate(run):
        if bars <= skip:
            continue
        ages = range(min(bars - skip, span))
        weights = [decay**age for age in ages]
        mean = math.fsum(w * given[place - age] for age, w in zip(ages, weights, strict=True))
        assert made[place] == pytest.approx(mean / math.fsum(weights), rel=1e-10, abs=1e-6)


@given(st.integers(1, 4), st.data())
def test_the_same_window_gives_the_same_bits_wherever_it_lies(rows: int, data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    long = random.lognormal(size=(rows, 700))
    start = data.draw(st.integers(1, 300))
    part = np.ascontiguousarray(long[:, start:])
    run = np.full(700, 1_024, np.int32)
    for work in (
        lambda x: rolling_sums(x, 60)[0],
        lambda x: rolling_moments(x, 20)[0],
        lambda x: rolling_moments(x, 20)[1],
        lambda x: fading_means(x, 11 / 13, run[: x.shape[-1]]),
    ):
        whole, later = work(long), work(part)
        assert (whole[:, -later.shape[-1] :] == later).all()


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60), st.sampled_from([1, 2, 4, 8, 16]), st.data())
def test_highest_of_the_unbroken_bars(given: list[int], length: int, data: st.DataObject) -> None:
    broken = data.draw(st.sets(st.integers(0, len(given) - 1)))
    run, count = [], 0
    for place in range(len(given)):
        count = 1 if place in broken else count + 1
        run.append(count)
    made = rolling_highest(np.array(given), length, np.array(run))
    expected = [max(given[p - min(bars, length, p + 1) + 1 : p + 1]) for p, bars in enumerate(run)]
    assert made.tolist() == expected
