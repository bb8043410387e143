"""Covariances as variances give the same numbers as matrices, and no step then builds a d x d matrix."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.em import checkpoint, diagnosis
from gmm_spark.em.convergence import step_divergence
from gmm_spark.mixture import alignment, coordinates, families
from gmm_spark.mixture.parameters import ALIGNED, Family, FloatArray, Parameters
from gmm_spark.mixture.spread import Matrices, Spread, Variances
from gmm_spark.report.model_description import description
from gmm_spark.search import best_start, missed_clusters
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import engines, kernel
from gmm_spark.statistics.block import Block
from gmm_spark.store import model_directory
from tests.strategies import random_mixture, random_problem, seeds

if TYPE_CHECKING:
    from collections.abc import Callable

each_aligned_family = pytest.mark.parametrize("family", sorted(ALIGNED))


def pair(seed: int, k: int, d: int) -> tuple[Variances, Matrices, FloatArray]:
    """Return diagonal covariances in both forms, and k vectors."""
    generator = np.random.default_rng(seed)
    variances = 10 ** generator.uniform(-2, 2, (k, d))
    return Variances(variances), Matrices(variances[:, :, None] * np.eye(d)), generator.standard_normal((k, d))


FORMULAS: dict[str, Callable[[Spread, FloatArray], FloatArray]] = {
    "matrices": lambda spread, _: spread.matrices,
    "variances": lambda spread, _: spread.variances,
    "log-determinants": lambda spread, _: spread.log_determinants,
    "least variances": lambda spread, _: spread.least_variances,
    "inverses": lambda spread, _: spread.inverted()[0].matrices,
    "log-determinants of inverses": lambda spread, _: spread.inverted()[1],
    "products": lambda spread, v: spread.products(v),
    "forms": lambda spread, v: spread.quadratic_forms(v),
    "inverse forms": lambda spread, v: spread.inverse_forms(v),
    "inverse traces": lambda spread, _: spread[:1].inverse_traces(spread),
    "other units": lambda spread, v: spread.scaled(v[0]).matrices,
    "other axes": lambda spread, v: spread.transformed(np.outer(v[0], v[-1]) + np.eye(v.shape[1])).matrices,
    "some": lambda spread, _: spread[np.array([0, 0])].matrices,
    "random rows": lambda spread, v: spread.rows_from_noise(np.arange(len(v)), v),
    "outer products": lambda spread, v: type(spread)(spread.outer_products(v[:, 0], v)).variances,
    "sums of squares": lambda spread, v: type(spread)(spread.scatter(v, v[0] ** 2)[None]).variances,
    "unit": lambda spread, v: type(spread)(spread.identity(v.shape[1])[None]).matrices,
    "along": lambda spread, v: type(spread)(spread.per_component(v[:, 0]) * spread.values).matrices,
    "faults": lambda spread, _: spread.faulty().astype(np.float64),
}


@pytest.mark.parametrize("formula", FORMULAS)
@given(seeds, st.integers(1, 4), st.integers(1, 5))
def test_both_forms_are_the_same_covariances(formula: str, seed: int, k: int, d: int) -> None:
    """Each formula gives the same result for diagonal matrices and for their diagonals."""
    variances, matrices, vectors = pair(seed, k, d)
    if formula == "sums of squares":
        vectors = np.random.default_rng(seed).standard_normal((d, 7))
    one, other = FORMULAS[formula](variances, vectors), FORMULAS[formula](matrices, vectors)
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@given(seeds, st.integers(1, 4), st.integers(1, 5))
def test_distances_and_divergences_are_those_of_the_matrices(seed: int, k: int, d: int) -> None:
    """Bhattacharyya distances and step divergences of diag mixtures are those of the same mixtures as full."""
    generator = np.random.default_rng(seed)
    one, other = (random_mixture(generator, k, d, "diag") for _ in range(2))
    full = [Parameters(each.weights, each.means, each.covariances) for each in (one, other)]
    np.testing.assert_allclose(alignment.distances(one, other), alignment.distances(*full), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(step_divergence(one, other), step_divergence(full[0], full[1]), rtol=1e-9)


@each_aligned_family
def test_variances_and_diagonal_matrices_make_the_same_mixture(family: Family) -> None:
    """Both are stored as variances, and their covariances are the diagonal matrices."""
    weights, means, variances = [0.4, 0.6], [[0.0, 1.0], [2.0, 3.0]], np.array([[1.0, 1.0], [2.0, 2.0]])
    one, other = (Parameters(weights, means, each, family) for each in (variances, variances[:, :, None] * np.eye(2)))
    for mixture in (one, other):
        assert isinstance(mixture.spread, Variances)
        np.testing.assert_array_equal(mixture.covariances, variances[:, :, None] * np.eye(2))
    assert isinstance(Parameters(weights, means, other.covariances, "full").spread, Matrices)


@each_aligned_family
def test_a_model_of_the_first_format_is_read(family: Family) -> None:
    """Models stored with a matrix per component for any family are read back unchanged."""
    mixture = random_mixture(np.random.default_rng(1), 3, 4, family)
    twin = Parameters(mixture.weights, mixture.means, mixture.covariances)
    header, lines = model_directory.encode_model(model_directory.StoredModel(twin, ("a", "b", "c", "d")))
    old = {**header, "family": family, "sha256": ""}
    old["sha256"] = model_directory._checksum({k: v for k, v in old.items() if k != "sha256"}, lines)  # noqa: SLF001
    assert header["format"] == 1
    back = model_directory.decode_model(old, lines, "here").parameters
    assert back.family == family
    np.testing.assert_array_equal(back.spread.values, mixture.spread.values)
    own, _ = model_directory.encode_model(model_directory.StoredModel(mixture, ("a", "b", "c", "d")))
    assert own["format"] == 2


LINALG = ("cholesky", "inv", "solve", "eigh", "eigvalsh", "slogdet", "svd", "qr")


@pytest.fixture
def no_matrices(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function after whose call numpy.linalg refuses d x d matrices."""

    def forbid(d: int) -> None:
        for name in LINALG:
            original = getattr(np.linalg, name)

            def guarded(a: FloatArray, *rest: Any, original: Callable[..., Any] = original, name: str = name) -> Any:  # noqa: ANN401
                assert min(a.shape[-2:]) < d, f"{name} of {a.shape}"
                return original(a, *rest)

            monkeypatch.setattr(np.linalg, name, guarded)

    return forbid


def clustered(n: int, d: int, k: int, seed: int = 0) -> FloatArray:
    """Return (n, d) rows of k clusters that differ slightly in every feature."""
    generator = np.random.default_rng(seed)
    means = generator.normal(0, 1, (k, d))
    return means[np.arange(n) % k] + generator.standard_normal((n, d)) * generator.uniform(0.5, 2, d)


def fitted(x: FloatArray, family: Family, k: int) -> tuple[em.Fit, coordinates.Coordinates, Sample]:
    """Return the best fit to rows, as for a table: search, then EM, with variances of the data alone."""
    n, d = x.shape
    mean, variances = x.mean(axis=0), x.var(axis=0)
    frame = coordinates.coordinates_for(family, mean, variances, tuple(f"x{i}" for i in range(d)))
    sample = Sample(frame.rows(x), np.ones(n), variances)
    start = best_start.best(sample, frame, Plan(k, family, 6, 0, 1e-6, 1e-4))
    state = em.begin(start.best.parameters, "squarem", start.slowest)
    engine = best_start.in_memory([Block(sample.z)])
    return em.run(engine, state, em.Maximiser(frame, 1e-6), em.Goal(1e-5, 50, 2)), frame, sample


@each_aligned_family
def test_a_fit_of_many_features_builds_no_matrix(family: Family, no_matrices: Callable[[int], None]) -> None:
    """All steps from the search to the description together need less memory than one d x d matrix."""
    d, k = 3000, 3
    x = clustered(240, d, k)
    no_matrices(d)
    tracemalloc.start()
    fit, frame, _ = fitted(x, family, k)
    mixture = frame.outward(fit.best.parameters).ordered()
    diagnosis.findings(fit.best.parameters, fit.best.moments, em.Maximiser(frame, 1e-6))
    posterior, _ = kernel.posteriors(x, mixture)
    header, lines = model_directory.encode_model(model_directory.StoredModel(mixture, tuple(f"x{i}" for i in range(d))))
    stored = model_directory.decode_model(json.loads(json.dumps(header)), lines, "here")
    assert sum(map(len, lines)) < k * model_directory.limits(header, "here")[1] < 1000 * k * d
    text = checkpoint.encode_state(em.begin(fit.best.parameters, "squarem"), {})
    restored = checkpoint.decode_state(text, {}, "here")
    ordered = alignment.align(stored.parameters, mixture)
    drawn = mixture.spread.rows_from_noise(np.array([0, 2]), np.ones((2, d)))
    described = description(stored, correlations=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * d * d
    assert (np.bincount(posterior.argmax(axis=1), minlength=k) == 80).all()  # the fit found the clusters
    for other in (stored.parameters, ordered):
        assert other.spread.values.tobytes() == mixture.spread.values.tobytes()
    assert restored.candidate.spread.values.tobytes() == fit.best.parameters.spread.values.tobytes()
    np.testing.assert_allclose(drawn**2, mixture.spread.values[[0, 2]], rtol=1e-12)
    assert "Standard deviations" in described


@each_aligned_family
def test_moves_and_reseeding_build_no_matrix(family: Family, no_matrices: Callable[[int], None]) -> None:
    """Splits and merges, the reseeding of an empty component and the search for a missed cluster build none."""
    d, k = 80, 4
    x = clustered(1500, d, k)
    no_matrices(d)
    fit, frame, sample = fitted(x, family, k)
    maximise, start = em.Maximiser(frame, 1e-6), fit.best.parameters
    far = Parameters(start.weights, np.concatenate([start.means[:-1], np.full((1, d), 1e6)]), start.spread, family)
    engine = best_start.in_memory([Block(sample.z)])
    reseeded = em.run(engine, em.begin(far, "squarem"), maximise, em.Goal(1e-5, 50, 2))
    assert reseeded.reseeded
    rare = np.concatenate([sample.z, np.full((d, 20), 9.0) + np.random.default_rng(1).normal(0, 0.1, (d, 20))], axis=1)
    plan = Plan(k, family, 4, 0, 1e-6, 1e-4)
    checked = missed_clusters.check_start(
        lambda at: kernel.accumulate([Block(rare)], [at], kept=64)[0], fit, sample, frame, plan
    )
    assert checked.evidence.alarming
    assert checked.replaced


@each_aligned_family
@pytest.mark.parametrize("path", ["product", "difference"])
def test_diagonal_sums_give_the_same_m_step(family: Family, path: str) -> None:
    """On both paths the diagonal layout gives the variances that the same mixture as full gives."""
    problem = random_problem(3, family, 3, 4)
    frame = problem.frame
    mixture = frame.inward(problem.start)
    twin = Parameters(mixture.weights, mixture.means, mixture.covariances)
    block = Block(frame.rows(problem.x), problem.weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "choose", lambda *_, **__: engines.Method(path, "diagonal"))  # type: ignore[arg-type]
        (diagonal,) = kernel.accumulate([block], [mixture])
    (whole,) = kernel.accumulate([block], [twin])
    assert diagonal.layout == "diagonal"
    assert diagonal.imbalance < 1e-12
    one, other = (em.Maximiser(frame, 0.0)(mixture, each)[0] for each in (diagonal, whole))
    np.testing.assert_allclose(one.spread.values, other.spread.values, rtol=1e-9)
    np.testing.assert_allclose(diagonal.data_spread.variances, whole.data_spread.variances, rtol=1e-9)


def test_tight_clusters_far_apart_keep_their_digits_as_variances() -> None:
    """For two clusters of deviation 1e-7, ten apart, the difference path is chosen, and the variances are exact."""
    cluster = np.random.default_rng(0).standard_normal((2, 400))
    x = np.concatenate([1e-7 * cluster, 10 + 1e-7 * cluster[:, ::-1]], axis=1)
    means = np.stack([x[:, :400].mean(axis=1), x[:, 400:].mean(axis=1)])
    start = Parameters([0.5, 0.5], means, np.full((2, 2), 2e-14), "diag")
    assert engines.choose([start]) == engines.Method("difference", "diagonal")
    (moments,) = kernel.accumulate([Block(x)], [start])
    expected = np.stack([x[:, part].var(axis=1) for part in (slice(400), slice(400, None))])
    np.testing.assert_allclose(moments.variances(start.spread.values), expected, rtol=1e-7)


@given(seeds, st.floats(1e-6, 2.0))
def test_the_constraint_of_variances_is_that_of_the_matrices(seed: int, floor: float) -> None:
    """Constraint and floor of the aligned families give the same in `Scaled` and in general coordinates."""
    problem = random_problem(seed, "diag", 2, 3)
    frame = problem.frame
    dense = coordinates.Coordinates(frame.center, frame.factor, frame.inverse)
    variances, matrices, _ = pair(seed, 4, 3)
    for family in sorted(ALIGNED):
        one, other = (
            families.constrain(family, spread, np.ones(4), to, floor)
            for spread, to in ((variances, frame), (matrices, dense))
        )
        np.testing.assert_allclose(one[0].matrices, other[0].matrices, rtol=1e-9)
        assert one[1] == other[1]
        mask = [
            families.at_floor(family, spread, np.ones(4), to, floor)
            for spread, to in ((variances, frame), (matrices, dense))
        ]
        np.testing.assert_array_equal(mask[0], mask[1])


@given(seeds, st.integers(1, 4), st.integers(1, 5))
def test_factors_and_inverses_are_computed_once_and_never_stored(seed: int, k: int, d: int) -> None:
    """A second call returns the same arrays, equal covariances have equal inverses, and pickles store values only."""
    _, matrices, _ = pair(seed, k, d)
    assert matrices.inverted() is matrices.inverted()
    assert matrices.factors is matrices.factors
    np.testing.assert_allclose(matrices.inverted()[0].matrices, np.linalg.inv(matrices.matrices), rtol=1e-9, atol=1e-9)
    shared = matrices[np.zeros(3, dtype=np.intp)]
    np.testing.assert_array_equal(shared.inverted()[0].matrices, matrices.inverted()[0].matrices[[0, 0, 0]])
    restored = pickle.loads(pickle.dumps(matrices))  # noqa: S301 - written by this test
    assert vars(restored).keys() == {"values"}
    np.testing.assert_array_equal(restored.inverted()[0].matrices, matrices.inverted()[0].matrices)
