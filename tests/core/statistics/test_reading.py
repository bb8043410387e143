"""What a read of the blocks adds up: each request over its rows, whatever else the read serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark.mixture.parameters import FAMILIES, Parameters
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.kernel import accumulate
from gmm_spark.statistics.reading import Reading, Request
from tests.strategies import random_mixture

if TYPE_CHECKING:
    from gmm_spark.statistics.moments import Moments

FOLDS = (-1, 0, 1)
POINT = Parameters(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])


def numbered_blocks() -> list[tuple[int, Block]]:
    """Return twenty blocks of two features, in folds by turns."""
    random = np.random.default_rng(0)
    return [(FOLDS[number % 3], Block(random.standard_normal((2, 7)))) for number in range(20)]


def assert_same(one: Moments, other: Moments) -> None:
    """The statistics are the same but for rounding."""
    assert one.rows == other.rows
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(one.sums, other.sums, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(one.total, other.total, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("held", "only", "taken"), [(None, None, [-1, 0, 1]), (0, None, [-1, 1]), (None, 1, [1])])
def test_requests_take_their_folds(held: int | None, only: int | None, taken: list[int]) -> None:
    """All rows, those outside one fold, or those of one fold alone."""
    assert [fold for fold in FOLDS if Request(POINT, held, only).takes(fold)] == taken


@pytest.mark.parametrize("together", [None, 1, 8, 100])
def test_each_request_is_measured_as_if_it_were_alone(together: int | None) -> None:
    """Mixtures of all families, over all rows and over some folds, in other coordinates where their family asks."""
    random, turn = np.random.default_rng(1), np.array([[2.0, 0.0], [0.5, 1.0]])
    rows = [(None, None), (0, None), (None, 1), (None, None)]
    mixtures = [random_mixture(random, 3, 2, family) for family in FAMILIES]
    requests = [Request(mixture, *which) for mixture in mixtures for which in rows]
    reading = Reading(tuple(requests), turns={"diag": turn}, together=together)
    for request, measured in zip(requests, reading.over(iter(numbered_blocks())), strict=True):
        own = [block for fold, block in numbered_blocks() if request.takes(fold)]
        turned = [Block(turn @ block.z) for block in own] if request.parameters.family == "diag" else own
        assert_same(measured, accumulate(turned, [request.parameters])[0])


def test_reading_nothing_gives_the_zeros() -> None:
    """The statistics of no blocks are those of no rows, in the layout of those of some."""
    reading = Reading((Request(POINT), Request(POINT, held=0)), together=8)
    for zero, nothing, some in zip(reading.zeros(), reading.over([]), reading.over(numbered_blocks()), strict=True):
        assert zero.to_bytes() == nothing.to_bytes()
        assert (some.rows, some.layout) == ((zero + some).rows, zero.layout)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (Reading((Request(POINT),)), True),
        (Reading((Request(POINT), Request(POINT, held=0))), True),
        (Reading((Request(POINT, held=0),)), False),
        (Reading((Request(POINT, only=0),)), False),
        (Reading((Request(POINT),), one_in=4), False),
        (Reading((Request(POINT),), turns={"full": np.eye(2)}), False),
    ],
)
def test_sums_are_compared_with_the_survey_where_they_are_those_of_all_rows(
    reading: Reading, *, expected: bool
) -> None:
    """Not of a part, nor of some folds, nor in other coordinates."""
    assert reading.is_of_all_rows == expected


def test_parts_are_nested_and_add_up_their_blocks_alone() -> None:
    """One in 16 blocks are among the one in 4, about as many as they say, and count as if there were no others."""
    random, count = np.random.default_rng(0), 1000
    blocks = [(-1, Block(random.standard_normal((2, 3)))) for _ in range(count)]
    chosen = {}
    for one_in in (4, 16):
        part = Reading((Request(POINT),), one_in)
        chosen[one_in] = {number for number, block in enumerate(blocks) if part.over([block])[0].rows}
        (moments,) = part.over(iter(blocks))
        assert moments.rows == 3 * len(chosen[one_in])
        assert len(chosen[one_in]) == pytest.approx(count / one_in, abs=4 * np.sqrt(count / one_in))
    assert chosen[16] < chosen[4]
