"""Starts of EM: clusters are found in many features, a bad start stops no other, the seed decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from gmm_spark import em
from gmm_spark.em.convergence import Outcome
from gmm_spark.errors import DataError
from gmm_spark.mixture.coordinates import Coordinates
from gmm_spark.mixture.parameters import FAMILIES, Family, FloatArray, Parameters
from gmm_spark.search import best_start, kmeans
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block
from tests.strategies import (
    Problem,
    families,
    frame_of,
    outward,
    random_mixture,
    run,
    sample,
    seeds,
    shaped,
    survey,
)

if TYPE_CHECKING:
    from tests.core.conftest import RealData


def plan(k: int, family: Family = "full", **changed: object) -> Plan:
    """Return the default plan with some fields changed."""
    fields = {"starts": 20, "seed": 0, "floor": 1e-6, "tol": 1e-4, **changed}
    return Plan(k, family, **fields)  # type: ignore[arg-type]


def sampled(x: FloatArray, family: Family, weights: FloatArray | None = None) -> tuple[Sample, Coordinates]:
    """Return rows as a sample in the coordinates of a fit, and the coordinates."""
    weights = np.ones(len(x)) if weights is None else weights
    frame = frame_of(x, weights, family)
    return Sample(frame.rows(x), weights, survey(x, weights)[1]), frame


def search(x: FloatArray, how: Plan) -> Parameters:
    """Return the best mixture of the search, in the user's units."""
    rows, frame = sampled(x, how.family)
    return frame.outward(best_start.best(rows, frame, how).best.parameters)


def two_clusters(d: int, *, along: str, correlated: bool, n: int = 2500) -> tuple[FloatArray, np.ndarray]:
    """Return rows of two clusters, six of their standard deviations apart along the given direction."""
    generator = np.random.default_rng(d)
    direction = np.eye(d)[0] if along == "axis" else np.full(d, d**-0.5)
    labels = generator.choice(2, size=n)
    x = generator.standard_normal((n, d)) + 6 * labels[:, None] * direction
    if correlated:
        mixing = np.linalg.qr(generator.standard_normal((d, d)))[0] * np.geomspace(1, 30, d)
        x = x @ mixing.T
    return x, labels


@pytest.mark.parametrize("scale", [0.1, 1000.0])
@pytest.mark.parametrize(
    ("d", "along"), [(5, "axis"), (20, "axis"), (5, "diagonal"), (20, "diagonal"), (50, "diagonal")]
)
def test_two_clusters_six_deviations_apart_are_found(d: int, along: str, scale: float) -> None:
    """Round clusters are distinguished in 5, 20 and 50 features and any unit: adjusted Rand index above 0.95."""
    x, labels = two_clusters(d, along=along, correlated=False)
    posterior, _ = kernel.posteriors(scale * x, search(scale * x, plan(2)))
    assert adjusted_rand_score(labels, posterior.argmax(axis=1)) > 0.95


@pytest.mark.parametrize("d", [5, 20])
def test_elongated_clusters_under_correlated_features_are_found(d: int) -> None:
    """Clusters thirty times as long as wide, oblique to every feature, are distinguished too."""
    x, labels = two_clusters(d, along="axis", correlated=True)
    posterior, _ = kernel.posteriors(x, search(x, plan(2)))
    assert adjusted_rand_score(labels, posterior.argmax(axis=1)) > 0.95


@pytest.mark.parametrize("correlated", [False, True])
def test_one_separating_direction_among_fifty_is_found(correlated: bool) -> None:  # noqa: FBT001
    """The search ends no lower than EM from the true clusters, where only one direction of 50 distinguishes them."""
    x, labels = two_clusters(50, along="axis", correlated=correlated)
    parts = [survey(x[labels == label], np.ones(np.count_nonzero(labels == label))) for label in (0, 1)]
    truth = Parameters(np.bincount(labels) / len(x), np.stack([m for m, _ in parts]), np.stack([c for _, c in parts]))
    ours, theirs = (kernel.posteriors(x, mixture)[1].mean() for mixture in (search(x, plan(2)), truth))
    assert ours >= theirs


@pytest.mark.parametrize("d", [39, 40])
def test_wide_tables_are_also_partitioned_in_a_principal_subspace(d: int) -> None:
    """From 40 features on, a quarter of the starts uses the whitened axes with more variance than a feature."""
    labels = np.random.default_rng(0).integers(0, 6, 1_500)
    x = np.random.default_rng(1).standard_normal((1_500, d))
    x[:, :12] += 4 * np.random.default_rng(2).standard_normal((6, 12))[labels]
    spaces = kmeans._spaces(*sampled(x, "full"))  # noqa: SLF001 - the coordinates are the subject
    assert len(spaces) == (3 if d < 40 else 4)
    if d >= 40:
        subspace = spaces[-1]
        assert subspace.shape[1] < d / 2
        np.testing.assert_allclose(np.cov(subspace.T, bias=True), np.eye(subspace.shape[1]), atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_five_clusters_are_found_in_every_family(family: Family) -> None:
    """Five well separated round clusters of unequal size are found whatever the family."""
    generator = np.random.default_rng(9)
    means = 12 * np.linalg.qr(generator.standard_normal((6, 6)))[0][:5]
    truth = Parameters(np.array([0.4, 0.3, 0.15, 0.1, 0.05]), means, np.stack([np.eye(6)] * 5))
    x, labels = sample(generator, truth, 2000)
    posterior, _ = kernel.posteriors(x, search(x, plan(5, family)))
    assert adjusted_rand_score(labels, posterior.argmax(axis=1)) > 0.95


def test_two_clusters_of_timestamps_ten_seconds_apart() -> None:
    """Unix times 1.7e9 +- 1 and ten seconds later: both variances within 5 % of 1."""
    generator = np.random.default_rng(1)
    x = 1.7e9 + np.concatenate([generator.standard_normal(5000), 10 + generator.standard_normal(5000)])[:, None]
    mixture = search(generator.permutation(x), plan(2))
    np.testing.assert_allclose(mixture.covariances[:, 0, 0], 1, rtol=0.05)
    np.testing.assert_allclose(np.sort(mixture.means[:, 0]) - 1.7e9, [0, 10], atol=0.1)


@given(seeds, families, st.integers(1, 4), st.booleans())
def test_the_seed_decides(seed: int, family: Family, k: int, uniform: bool) -> None:  # noqa: FBT001
    """The same sample and seed give the same bits, whatever was searched before."""
    generator = np.random.default_rng(seed)
    x, _ = sample(generator, random_mixture(generator, k, 2, family), 60 * k)
    how = plan(k, family, seed=seed, starts=4, uniform=uniform)
    one, other = search(x, how), search(x, how)
    assert one.means.tobytes() == other.means.tobytes()
    assert one.covariances.tobytes() == other.covariances.tobytes()


def test_another_seed_draws_other_starts() -> None:
    """Seeds differ in the partitions that they draw, and so do the starts of one seed."""
    x, _ = two_clusters(3, along="axis", correlated=False)
    rows, frame = sampled(x, "full")
    drawn = [
        start.means.tobytes() for seed in (0, 1) for start in kmeans.draw(rows, frame, plan(4, seed=seed), range(20))
    ]
    assert len(set(drawn)) == len(drawn) == 40


@given(seeds, families, st.integers(1, 5), st.booleans())
def test_every_start_is_a_mixture_of_the_family(seed: int, family: Family, k: int, uniform: bool) -> None:  # noqa: FBT001
    """Drawn starts have the k, d and family of the plan, also on weighted rows with many repeats."""
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 4, (80, 2)).astype(np.float64)
    rows, frame = sampled(x, family, generator.choice([0.5, 1.0, 7.0], 80))
    for start in kmeans.draw(rows, frame, plan(k, family, starts=4, seed=seed, uniform=uniform), range(4)):
        assert (start.k, start.d, start.family) == (k, 2, family)


def collapsing() -> tuple[Sample, Coordinates, Parameters]:
    """Return a ring of rows around a row at the origin, and a start with a component that gets only that row."""
    generator = np.random.default_rng(0)
    angle, radius = generator.uniform(0, 2 * np.pi, 400), generator.uniform(1, 2, 400)
    z = np.concatenate([np.zeros((2, 1)), radius * np.stack([np.cos(angle), np.sin(angle)])], axis=1)
    frame = Coordinates(np.zeros(2), np.eye(2), np.eye(2))
    covariances = np.stack([np.eye(2), 1e-3 * np.eye(2)])
    bad = Parameters(np.array([0.9, 0.1]), np.array([[0.5, 0.5], [0.0, 0.0]]), covariances)
    return Sample(z, np.ones(401), np.eye(2)), frame, bad


def test_a_bad_start_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts that collapse at their first step are dropped, and the others end as without them."""
    rows, frame, bad = collapsing()
    how = plan(2, starts=4, floor=0.0)
    good, wanted = kmeans.draw(rows, frame, how, range(4)), best_start.best(rows, frame, how).best.parameters
    monkeypatch.setattr(kmeans, "draw", lambda *_: [bad, *good, bad])
    np.testing.assert_allclose(best_start.best(rows, frame, how).best.parameters.means, wanted.means, atol=1e-9)


def test_point_masses_without_a_floor_give_a_model_or_an_error() -> None:
    """If most rows repeat one value and there is no floor, the search gives a valid mixture or a DataError."""
    generator = np.random.default_rng(3)
    x = np.concatenate([np.zeros((300, 2)), generator.standard_normal((100, 2))])
    for seed in range(5):
        try:
            mixture = search(x, plan(3, floor=0.0, starts=6, seed=seed))
        except DataError as error:  # noqa: PERF203
            assert "covarianceFloor" in str(error)  # noqa: PT017 - either end is right
        else:
            assert np.isfinite(mixture.covariances).all()


def test_if_every_start_collapses_the_last_valid_mixture_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """If all starts become singular, the search returns a valid mixture, and the fit ends as degenerate."""
    rows, frame, bad = collapsing()
    monkeypatch.setattr(kmeans, "draw", lambda *_: [bad] * 20)
    found_one = best_start.best(rows, frame, plan(2, floor=0.0)).best.parameters
    expectation, state = best_start.in_memory([Block(rows.z)]), em.begin(found_one, "none")
    fitted = em.run(expectation, state, em.Maximiser(frame, 0.0), em.Goal(1e-6, 50))
    assert fitted.outcome is Outcome.DEGENERATE
    assert np.isfinite(fitted.best.parameters.covariances).all()


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("name", ["faithful", "iris"])
def test_no_worse_than_scikit_learn_with_five_starts(data: RealData, name: str, family: Family, k: int) -> None:
    """On Old Faithful and iris the likelihood is at least scikit-learn's best of five, less 1e-4 per row."""
    x = data.rows(name)
    theirs = GaussianMixture(
        k, covariance_type=family, reg_covar=1e-12, n_init=5, tol=1e-7, max_iter=2000, random_state=0
    )
    frame = frame_of(x, np.ones(len(x)), family)
    problem = Problem(x, np.ones(len(x)), search(x, plan(k, family, floor=0.0)))
    ours = outward(run(problem, tol=1e-6, max_iter=500, acceleration="squarem", frame=frame), frame)
    assert ours.log_likelihood / len(x) >= theirs.fit(x).score(x) - 1e-4


def with_a_clump(family: Family, seed: int) -> tuple[Sample, Coordinates, Parameters]:
    """Return rows of two clusters, four of which nearly coincide, and a mixture with a component on these four."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((300, 4)) + 5 * np.repeat([0, 1], 150)[:, None] * np.eye(4)[0]
    x[:4] = x[0] + 1e-3 * generator.standard_normal((4, 4))
    rows, frame = sampled(x, family)
    wide = shaped(family, np.stack([np.cov(x.T), np.eye(4) * 1e-4 if family != "tied" else np.cov(x.T)]))
    means = np.stack([x.mean(axis=0), x[:4].mean(axis=0)])
    return rows, frame, frame.inward(Parameters(np.array([296, 4]) / 300, means, wide, family))


@pytest.mark.parametrize("seed", range(2))
def test_a_component_needs_rows(seed: int) -> None:
    """Four rows that nearly coincide are the likeliest second component; with `least` another start wins."""
    family: Family = "full"
    rows, frame, clump = with_a_clump(family, seed)
    free, careful = (
        best_start.ranked(rows, frame, plan(2, family, least=least, floor=1e-9), given=[clump])[0]
        for least in (0.0, 5.0)
    )
    assert free.best.moments.mass.min() == pytest.approx(4, abs=0.1)
    assert careful.best.thin == 0
    assert careful.best.moments.mass.min() > 100
    assert careful.best.objective < free.best.objective


def test_an_outlier_group_is_no_component() -> None:
    """With one covariance for all, three far rows make the likelier component: with `least` the clusters are found."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((300, 4)) + 4 * np.repeat([0, 1], 150)[:, None] * np.eye(4)[0]
    x[:3] += 40
    rows, frame = sampled(x, "tied")
    free, careful = (best_start.best(rows, frame, plan(2, "tied", least=least)) for least in (0.0, 5.0))
    assert free.best.moments.mass.min() == pytest.approx(3, abs=0.1)
    assert careful.best.moments.mass.min() > 100


def test_the_least_rows_shrink_with_a_part_of_the_rows() -> None:
    """40 rows of 10,000 are 10 of 2,500; but at least d + 1, of 250 rows too, and never more than `least`."""
    frame = sampled(np.random.default_rng(0).standard_normal((50, 4)), "full")[1]
    how = plan(2, least=40.0, rows=10_000)
    assert [how.maximiser(frame, n).least for n in (10_000, 2_500, 250)] == [40, 10, 5]
    assert plan(2, least=2.0, rows=10_000).maximiser(frame, 250).least == 2
    assert plan(2, least=40.0).maximiser(frame, 250).least == 40


@pytest.mark.parametrize("k", [2, 4])
def test_if_no_start_is_sound_the_likeliest_is_returned(k: int) -> None:
    """With `least` above the rows per component, the search returns a mixture that is reported as not sound."""
    rows, frame, _ = with_a_clump("full", 0)
    fit = best_start.best(rows, frame, plan(k, least=200.0))
    assert fit.best.thin >= k - 1
    assert fit.outcome is not Outcome.DEGENERATE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saddle_is_left(family: Family) -> None:
    """EM keeps two equal components equal; from a moved start the search finds the two clusters."""
    generator = np.random.default_rng(4)
    x = generator.standard_normal((400, 2)) + 5 * np.repeat([0, 1], 200)[:, None]
    rows, frame = sampled(x, family)
    how = plan(2, family)
    expectation, maximise = best_start.in_memory([Block(rows.z)]), how.maximiser(frame, len(x))
    one = maximise.one_component(family, *survey(x, np.ones(len(x))))
    both = Parameters(np.full(2, 0.5), one.means.repeat(2, axis=0), one.covariances.repeat(2, axis=0), family)
    stuck = em.run(expectation, em.begin(both, "squarem"), maximise, em.Goal(1e-6, 100))
    left = best_start.shaken(stuck, rows, frame, how)
    assert stuck.outcome is Outcome.CONVERGED
    assert left.best.objective > stuck.best.objective + 0.1
    at_an_optimum = best_start.shaken(left, rows, frame, how)
    assert at_an_optimum is left
