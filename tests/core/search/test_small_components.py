"""Clusters of few rows are found where they gain more than chance does, and what is passed over is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import em
from gmm_spark.em import diagnosis
from gmm_spark.mixture.parameters import FAMILIES, Family, FloatArray, Parameters
from gmm_spark.search import best_start
from gmm_spark.selection.stability import adjusted_rand_index
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block
from tests.core.search.test_kmeans import plan, sampled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gmm_spark.search.sample import Plan


def auto(k: int, family: Family, d: int, n: int) -> Plan:
    """Return the plan of a fit by default: d + 1 rows at least, 2 (d + 1) of full and diag, ample are 4 (d + 1)."""
    least = (d + 1.0) * (2 if family in {"full", "diag"} else 1)
    return plan(k, family, least=least, ample=4 * (d + 1.0), prior=2 / n**1.5)


def small_cluster(sizes: Sequence[int], d: int, apart: float) -> tuple[FloatArray, NDArray[np.intp]]:
    """Return rows of normal clusters of these sizes, and which each is from."""
    generator = np.random.default_rng(d)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    x = generator.standard_normal((len(labels), d))
    return x + apart * labels[:, None] * np.eye(d)[labels % d], labels


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("sizes", "d"), [((80, 15), 4), ((300, 12), 2), ((500, 20, 20), 3), ((200, 80, 15), 4), ((300, 100, 8), 2)]
)
def test_a_small_cluster_that_is_far_away_is_found(family: Family, sizes: tuple[int, ...], d: int) -> None:
    """Twelve deviations away, by the default least rows: no split of a large cluster is preferred for its rows."""
    x, labels = small_cluster(sizes, d, 12.0)
    rows, frame = sampled(x, family)
    fit = best_start.best(rows, frame, auto(len(sizes), family, d, len(x)))
    found = kernel.posteriors(np.ascontiguousarray(rows.z.T), fit.best.parameters)[0].argmax(axis=1)
    assert adjusted_rand_index(found, labels) > 0.99
    assert fit.passed is None
    np.testing.assert_allclose(np.sort(fit.best.moments.mass), sorted(sizes), atol=0.2)


def test_a_small_component_is_charged_two_nats_for_each_row_that_it_lacks() -> None:
    """5 rows of 20 are 15 short: between equally sound mixtures 30 nats; the same whatever the unit of the weights."""
    x, labels = small_cluster((95, 5), 4, 12.0)
    rows, frame = sampled(x, "full")
    means = np.stack([x[labels == k].mean(axis=0) for k in (0, 1)])
    at = frame.inward(Parameters(np.array([0.95, 0.05]), means, np.repeat(np.eye(4)[None], 2, axis=0)))
    maximise = em.Maximiser(frame, 1e-6, least=4.0, ample=20.0)
    for unit in (1.0, 3.0):
        (moments,) = kernel.accumulate([Block(rows.z, np.full(100, unit))], [at])
        assert maximise.charge(moments) * 100 == pytest.approx(30, rel=1e-6)
        measured = em.Position(at).measured(moments, maximise)
        assert measured.worth == measured.objective - maximise.charge(moments)
        assert replace(maximise, ample=0.0).charge(moments) == 0
        assert replace(maximise, least=20.0).charge(moments) == 0


def test_what_was_passed_over_is_reported() -> None:
    """Three rows 40 deviations away are outliers; that they are likelier is reported, and that number finds them."""
    x, _ = small_cluster((200, 3), 4, 40.0)
    rows, frame = sampled(x, "tied")
    how = plan(2, "tied", least=5.0, ample=20.0)
    fit = best_start.best(rows, frame, how)
    assert fit.best.thin == 0
    assert fit.passed is not None
    assert fit.passed.rows == pytest.approx(3, abs=0.1)
    (finding,) = diagnosis.passed_over(fit.passed)
    accepts = float(finding.message.partition("set that minimum to ")[2].partition(",")[0])
    accepted = best_start.best(rows, frame, replace(how, least=accepts, ample=0.0))
    assert accepted.passed is None
    assert accepted.best.moments.mass.min() == pytest.approx(3, abs=0.1)
    assert (accepted.best.total - fit.best.total) == pytest.approx(fit.passed.gain, abs=0.1)


def test_nothing_is_passed_over_where_the_likeliest_is_chosen() -> None:
    """Of two clusters of as many rows nothing else is likelier; without a least number nothing is passed over."""
    x, _ = small_cluster((100, 100), 4, 6.0)
    rows, frame = sampled(x, "full")
    assert best_start.best(rows, frame, plan(2, least=10.0, ample=20.0)).passed is None
    assert best_start.best(rows, frame, plan(2)).passed is None
