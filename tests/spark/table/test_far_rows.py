"""One or a few rows far from all others: the scale is that of the other rows, and a warning names the far values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import GaussianMixture
from gmm_spark.errors import DataError
from gmm_spark.spark.table.rows import DecodedRows, RowLayout
from gmm_spark.spark.table.survey_pass import survey, survey_batch
from gmm_spark.statistics import far_rows
from gmm_spark.statistics.survey import Survey
from tests.spark.frames import names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.spark.frames import FloatArray


def two(d: int, n: int = 1000) -> FloatArray:
    """Return n rows, alternating between two clusters at a distance of eight standard deviations."""
    x = np.random.default_rng(d).standard_normal((n, d))
    x[1::2, 0] += 8
    return x


def surveyed(x: FloatArray, step: int = 10_000) -> Survey:
    """Return the survey of (n, d) rows in batches."""
    parts = (x[low : low + step].T for low in range(0, len(x), step))
    return sum(
        (survey_batch(DecodedRows(part, None, np.zeros(part.shape[1], np.int8))) for part in parts),
        Survey.zero(x.shape[1]),
    )


def bounds_of(x: FloatArray) -> far_rows.Bounds | None:
    """Return the bounds outside which rows are far; None if there are none."""
    summary = surveyed(x)
    return far_rows.find_bounds(summary.sample, np.diagonal(summary.covariance))


CASES = [(2, 1e6, "diagonal"), (3, 1e9, "diagonal"), (2, 1e9, "axis")]
MORE = [(d, place, way) for d in (2, 3, 5) for place in (1e3, 1e6, 1e9) for way in ("axis", "diagonal")]
SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in MORE if case not in CASES]


@pytest.mark.classic_only
@pytest.mark.parametrize(("d", "place", "way"), [*CASES, *SLOW])
def test_one_far_row_hides_no_clusters(spark: SparkSession, d: int, place: float, way: str) -> None:
    """Two clusters of a thousand rows are found beside a row at 1e3 to 1e9 standard deviations, with a warning."""
    x = two(d)
    far = np.full(d, place) if way == "diagonal" else place * np.eye(d)[0]
    model = GaussianMixture(k=3, inputCols=names(d)).fit(table(spark, **numbered(np.vstack([x, far]))))
    labels = np.array([model.predict(row) for row in x])
    # A single row is not a component (minComponentWeight): the third has rows of one cluster, never of both.
    for component in np.unique(labels):
        assert abs((np.flatnonzero(labels == component) % 2).mean() - 0.5) > 0.49, component
    if place >= 1e6:
        (warning,) = (each for each in model.summary.warnings if "far values" in each)
        assert f"x0 = {place:.9g}" in warning
        assert "1 of 1001 rows are far" in warning
        assert not any("same values" in each for each in model.summary.warnings)


@pytest.mark.classic_only
def test_a_row_beyond_all_bounds_is_named(spark: SparkSession) -> None:
    """At 1e13 standard deviations, beyond float64's precision, an error names feature, value and remedy."""
    x = np.vstack([two(3), [1e13, -1e13, 1e13]])
    with pytest.raises(DataError, match=r"x1 = -1e\+13 .*standard deviations.*Filter the rows"):
        GaussianMixture(k=3, inputCols=names(3)).fit(table(spark, **numbered(x)))


@pytest.mark.classic_only
def test_a_sentinel_in_one_of_a_hundred_rows_does_not_set_the_scale(spark: SparkSession) -> None:
    """With -999999 among whole numbers the survey's reference is that of the other rows, by a second read."""
    x = np.round(10 * two(2, 20_000))
    x[::100, 1] = -999_999
    summary = survey(table(spark, 3, **numbered(x)), RowLayout(2, array=False, weighted=False))
    others = x[x[:, 1] > -999_999]
    assert summary.passes == 2
    assert (summary.rows, summary.reference.rows) == (20_000, 19_800)
    np.testing.assert_allclose(summary.reference.mean, others.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(summary.reference.covariance, np.cov(others.T, bias=True), rtol=1e-12)
    np.testing.assert_allclose(summary.covariance, np.cov(x.T, bias=True), rtol=1e-12)


def ordinary(kind: str) -> FloatArray:
    """Return 60,000 rows of a table without far rows."""
    rng = np.random.default_rng(1)
    n = 60_000
    return {
        "normal": rng.standard_normal((n, 3)),
        "lognormal": np.exp(2 * rng.standard_normal((n, 2))),
        "Student's t of 3": rng.standard_t(3, (n, 2)),
        "sorted": np.sort(rng.standard_normal((n, 2)), axis=0),
        "mostly zero": rng.standard_exponential((n, 2)) * (rng.random((n, 2)) < 0.02),
        "whole numbers": rng.poisson(0.3, (n, 2)).astype(float),
        "a far cluster of 10 %": rng.standard_normal((n, 2)) + 1000.0 * (rng.random((n, 1)) < 0.1),
        "seconds since 1970": 1.7e9 + 86_400 * rng.random((n, 1)),
        "few rows": np.array([[0.0], [1.0], [1e9]]),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "normal",
        "lognormal",
        "Student's t of 3",
        "sorted",
        "mostly zero",
        "whole numbers",
        "a far cluster of 10 %",
        "seconds since 1970",
        "few rows",
    ],
)
def test_nothing_is_far_in_ordinary_tables(kind: str) -> None:
    """Long tails, zeros, sorted rows and clusters of a tenth of the rows are not far: no second read."""
    assert bounds_of(ordinary(kind)) is None


@pytest.mark.parametrize("share", [1 / 60_000, 1e-3, 1e-2])
def test_few_rows_at_1e5_deviations_are_far(share: float) -> None:
    """Up to one row in a hundred is far, and all others are within the bounds."""
    x = ordinary("normal")
    far = np.arange(len(x)) % round(1 / share) == 7
    x[far] += 1e5
    bounds = bounds_of(x)
    assert bounds is not None
    np.testing.assert_array_equal(bounds.contain(x.T), ~far)


def test_the_sample_is_the_same_however_rows_are_divided() -> None:
    """Small batches, any order and repeated rows give the same sample: the distinct rows with the smallest hashes."""
    x = ordinary("whole numbers")[:300] + ordinary("normal")[:300, :2]
    whole = surveyed(np.concatenate([x, x]), 600)
    parts = surveyed(np.concatenate([x, x])[::-1], 37)
    np.testing.assert_array_equal(whole.sample, parts.sample)
    assert len(whole.sample) == far_rows.SIZE
    back = Survey.from_bytes(whole.to_bytes(), Survey.zero(2))
    np.testing.assert_array_equal(back.sample, whole.sample)
    np.testing.assert_array_equal(back.range, [x.min(axis=0), x.max(axis=0)])
