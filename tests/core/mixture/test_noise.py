"""The noise component: tested against a second implementation, on known mixtures, and after storing."""

from __future__ import annotations

import csv
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from scipy.optimize import linear_sum_assignment
from scipy.stats import multivariate_normal

from gmm_spark import em
from gmm_spark.em import checkpoint
from gmm_spark.em.convergence import Outcome, sentence
from gmm_spark.errors import ParametersError
from gmm_spark.mixture import families, prior
from gmm_spark.mixture.coordinates import coordinates_for
from gmm_spark.mixture.noise import Noise
from gmm_spark.mixture.parameters import FAMILIES, Family, FloatArray, Parameters
from gmm_spark.search import best_start
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block
from gmm_spark.store import model_directory
from tests.strategies import Problem, assert_close, engine, problems, shaped

NAMES = tuple(f"x{i}" for i in range(9))
DATA = os.environ.get("GMM_SPARK_DATA")


def box_of(x: FloatArray) -> FloatArray:
    """Return (2, d) the least and the largest value of each feature."""
    return np.stack([x.min(axis=0), x.max(axis=0)])


def with_noise(problem: Problem, weight: float = 0.2) -> Parameters:
    """Return the problem's start with a noise component over the range of its rows."""
    return problem.start.with_noise(Noise(weight, box_of(problem.x)))


def em_step(x: FloatArray, w: FloatArray, at: Parameters) -> tuple[float, Parameters]:
    """Return the mean log-likelihood and the result of one step of plain EM with SciPy's densities."""
    assert at.noise is not None
    volume = np.prod(np.diff(at.noise.box, axis=0))
    each = zip(at.weights, at.means, at.covariances, strict=True)
    densities = [p * multivariate_normal(m, c).pdf(x).reshape(len(x)) for p, m, c in each]
    joint = np.stack([*densities, np.full(len(x), at.noise.weight / volume)], axis=1)
    total = joint.sum(axis=1)
    r = joint / total[:, None] * w[:, None]
    mass = r.sum(axis=0)
    means = r[:, :-1].T @ x / mass[:-1, None]
    offsets = x[None] - means[:, None]
    scatter = np.einsum("nk,kni,knj->kij", r[:, :-1], offsets, offsets)
    own = scatter / mass[:-1, None, None]
    if at.family in ("tied", "tied-diag", "tied-spherical"):
        own = np.repeat(scatter.sum(axis=0)[None] / mass[:-1].sum(), at.k, axis=0)
    noise = at.noise.with_weight(mass[-1] / mass.sum())
    after = Parameters(mass[:-1] / mass.sum(), means, shaped(at.family, own), at.family, noise)
    return float(w @ np.log(total) / w.sum()), after


@given(problems(least=2, most=3))
def test_steps_are_those_of_a_second_implementation(problem: Problem) -> None:
    """Three steps of plain EM give the same log-likelihoods and parameters as SciPy's densities, in all families."""
    frame, at = problem.frame, with_noise(problem)
    maximise = em.Maximiser(frame, 0.0)
    measured = list(islice(em.iterate(engine(problem, frame), frame.inward(at), maximise, "none"), 3))
    for each in measured:
        value, after = em_step(problem.x, problem.weights, at)
        assert_close(each.moments.mean_log_likelihood - frame.log_determinant, value, 1e-9)
        mine = frame.outward(each.parameters)
        assert mine.noise is not None
        assert at.noise is not None
        assert_close(mine.noise.weight, at.noise.weight, 1e-9)
        assert_close(mine.means, at.means, 1e-8)
        at = after


@given(problems(least=2, most=3))
def test_em_never_lowers_the_likelihood(problem: Problem) -> None:
    """No step of ten lowers the objective, and the sums of all components add up to those of all rows."""
    frame = problem.frame
    maximise = em.Maximiser(frame, 0.0, 1e-3)
    passes = em.iterate(engine(problem, frame), frame.inward(with_noise(problem)), maximise, "none")
    values = []
    for each in islice(passes, 10):
        assert each.moments.imbalance < 1e-9
        values.append(each.objective)
    assert (np.diff(values) > -1e-9 * (1 + np.abs(values[:-1]))).all()


@given(problems(least=2, most=3))
def test_weights_and_posteriors_sum_to_1(problem: Problem) -> None:
    """Components and noise together sum to 1, and the last posterior is that of the noise."""
    at = with_noise(problem)
    posterior, log_density = kernel.posteriors(problem.x, at)
    assert posterior.shape == (len(problem.x), at.k + 1)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-12)
    assert at.noise is not None
    np.testing.assert_allclose(posterior[:, -1], np.exp(at.noise.log_joint - log_density), atol=1e-12)
    assert at.weights.sum() + at.noise.weight == pytest.approx(1, abs=1e-12)
    predicted = kernel.most_probable(posterior, at)
    assert ((predicted == -1) == (posterior.argmax(axis=1) == at.k)).all()


def contaminated(seed: int, d: int, share: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return rows of three normal clusters, the same rows plus uniform noise, and labels of the latter."""
    rng = np.random.default_rng(seed)
    centres = 10 * np.eye(3, d) + np.linspace(0, 5, d)
    labels = rng.integers(3, size=1500)
    clean = centres[labels] + rng.standard_normal((1500, d))
    count = round(share * 1500 / (1 - share))
    noise = rng.uniform(centres.min(axis=0) - 15, centres.max(axis=0) + 15, (count, d))
    return clean, np.concatenate([clean, noise]), np.concatenate([labels, np.full(count, 3)])


def fitted(x: FloatArray, k: int, family: Family = "full", *, noise: bool = True, seed: int = 0) -> Parameters:
    """Return the best fit of a search in memory, with the defaults of the estimator."""
    covariance = np.cov(x.T, bias=True)
    frame = coordinates_for(family, x.mean(axis=0), covariance, NAMES[: x.shape[1]])
    order = np.random.default_rng(seed).permutation(len(x))
    sample = Sample(np.ascontiguousarray(frame.rows(x)[:, order]), np.ones(len(x)), covariance)
    own = Noise(0.1, box_of(x)).rescaled(frame.log_determinant) if noise else None
    share = prior.share_of("auto", len(x))
    plan = Plan(k, family, 20, seed, 1e-6, 1e-6, noise=own, prior=share, least=x.shape[1] + 1)
    return frame.outward(best_start.best(sample, frame, plan).best.parameters)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("d", [2, 5])
def test_noise_does_not_move_the_clusters(d: int, share: float) -> None:
    """Parameters fitted to contaminated rows are within the sampling error of those fitted to the clean rows."""
    clean, x, labels = contaminated(1, d, share)
    truth, found = fitted(clean, 3, noise=False), fitted(x, 3)
    gaps = ((found.means[:, None] - truth.means) ** 2).sum(axis=-1)
    mine, theirs = linear_sum_assignment(gaps)
    error = np.sqrt(1 / 500)  # of a mean of 500 rows of variance 1
    assert np.abs(found.means[mine] - truth.means[theirs]).max() < 3 * error
    assert np.abs(found.covariances[mine] - truth.covariances[theirs]).max() < 3 * np.sqrt(2) * error
    assert found.noise is not None
    true = (labels == 3).mean()
    assert abs(found.noise.weight - true) < 0.01 + 3 * np.sqrt(true * (1 - true) / len(x))


@pytest.mark.skipif(DATA is None, reason="GMM_SPARK_DATA is unset")
def test_chevron_is_two_clusters_in_noise() -> None:
    """mclust's example has 350 of 1,104 rows in two clusters; mclust assigns 311 rows to them, this fit 301 to 321."""
    with (Path(DATA or "") / "chevron.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    x = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    clustered = np.array([row["class"] == "data" for row in rows])
    at = fitted(x, 2)
    predicted = kernel.most_probable(kernel.posteriors(x, at)[0], at)
    assert abs((predicted >= 0).sum() - 311) <= 10
    assert (clustered == (predicted >= 0)).mean() > 0.93
    assert (np.bincount(predicted[predicted >= 0]) > 140).all()


def test_clean_rows_give_the_noise_almost_no_weight() -> None:
    """Without noise in the rows its weight is below 1 %, and the clusters are those of a fit without noise."""
    clean, _, _ = contaminated(3, 2, 0.01)
    found, without = fitted(clean, 3), fitted(clean, 3, noise=False)
    assert found.noise is not None
    assert found.noise.weight < 0.01
    np.testing.assert_allclose(np.sort(found.means, axis=0), np.sort(without.means, axis=0), atol=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_change_of_units_changes_nothing(family: Family) -> None:
    """Features in other units give the same posteriors, and log-densities that differ only by the units."""
    _, x, _ = contaminated(2, 2, 0.05)
    unit = 1000.0 if family in ("spherical", "tied-spherical") else np.array([1000.0, 0.01])
    one, other = fitted(x, 3, family), fitted(x * unit, 3, family)
    (p, log_p), (q, log_q) = kernel.posteriors(x, one), kernel.posteriors(x * unit, other)
    np.testing.assert_allclose(q[:, -1], p[:, -1], atol=1e-3)
    np.testing.assert_allclose(np.sort(q), np.sort(p), atol=1e-3)  # components of equal weight may swap numbers
    np.testing.assert_allclose(log_p - log_q, np.log(unit * np.ones(2)).sum(), atol=1e-3)


@given(problems(most=3))
def test_models_and_checkpoints_store_the_noise_bit_for_bit(problem: Problem) -> None:
    """A stored mixture with noise reads back unchanged, and a fit resumed from a checkpoint ends the same."""
    at = with_noise(problem)
    header, lines = model_directory.encode_model(model_directory.StoredModel(at, NAMES[: at.d]))
    back = model_directory.decode_model(header, lines, "there").parameters
    assert back.noise is not None
    assert all((one == other).all() for one, other in zip(at.arrays, back.arrays, strict=True))
    frame, states = problem.frame, []
    maximise, first = em.Maximiser(frame, 0.0, 1e-3), em.begin(frame.inward(at), "squarem")
    goal = em.Goal(1e-6, 6)
    whole = em.run(engine(problem, frame), first, maximise, goal, lambda state, _: states.append(state))
    for state in states:
        restored = checkpoint.decode_state(checkpoint.encode_state(state, {}), {}, "there")
        fit = em.run(engine(problem, frame), restored, maximise, goal)
        pairs = zip(fit.best.parameters.arrays, whole.best.parameters.arrays, strict=True)
        assert all((one == other).all() for one, other in pairs)


def test_the_noise_has_two_free_parameters() -> None:
    """They are its weight and its volume, as in mclust."""
    assert families.free_parameters("full", 3, 2, noise=True) == families.free_parameters("full", 3, 2) + 2


@pytest.mark.parametrize("weight", [-0.1, 1.0, float("nan")])
def test_a_weight_out_of_bounds_is_refused(weight: float) -> None:
    """The weight of the noise is at least 0 and below 1."""
    with pytest.raises(ParametersError, match="noise component"):
        Noise(weight, [[0.0], [1.0]])


def test_a_box_without_a_volume_is_refused() -> None:
    """A constant feature, or a box with other features than the means, is an error."""
    with pytest.raises(ParametersError, match="noise component"):
        Noise(0.1, [[0.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ParametersError, match="box of the noise"):
        Parameters([0.9], [[0.0]], [[[1.0]]], noise=Noise(0.1, [[0.0, 0.0], [1.0, 1.0]]))


def test_a_noise_that_takes_all_rows_is_named() -> None:
    """A spherical component is never denser than a 1 x 1000 box of rows: the fit ends with an error about the noise."""
    x = np.random.default_rng(0).uniform(size=(400, 2)) * [1.0, 1000.0]
    frame = coordinates_for("spherical", x.mean(axis=0), np.cov(x.T, bias=True), NAMES[:2])
    noise = Noise(0.5, box_of(x)).rescaled(frame.log_determinant)
    maximise = em.Maximiser(frame, 1e-6)
    one = maximise.of_one("spherical", x.mean(axis=0), np.cov(x.T, bias=True))
    blocks = [Block(np.ascontiguousarray(frame.rows(x)))]
    fit = em.run(
        lambda candidates: kernel.accumulate(blocks, candidates),
        em.begin(one.with_noise(noise), "squarem"),
        maximise,
        em.Goal(1e-12, 500),
    )
    assert fit.outcome is Outcome.DEGENERATE
    text = sentence(fit.outcome, 1e-12, fit.detail)
    assert "noise component: got all rows" in text
    assert "Standardise the features" in text
    assert "covarianceFloor" not in text
