"""Components that do no work are restarted; point masses are reported; the model never gets worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gmm_spark import em
from gmm_spark.em import checkpoint, reseeding
from gmm_spark.em.convergence import Outcome
from gmm_spark.mixture.parameters import FAMILIES, Family, FloatArray, Parameters
from gmm_spark.search import best_start
from gmm_spark.statistics.block import Block
from tests.strategies import frame_of, shaped

FLOOR = 1e-6
GOAL = em.Goal(tol=1e-6, max_iter=400, reseedings=2)


def three_clusters(seed: int = 0) -> FloatArray:
    """Return rows of three well separated clusters, the last a fiftieth of all."""
    generator = np.random.default_rng(seed)
    sizes, centres = (500, 480, 20), np.array([[0.0, 0], [20, 0], [0, 30]])
    return np.concatenate([c + generator.standard_normal((n, 2)) for n, c in zip(sizes, centres, strict=True)])


def setting(x: FloatArray, family: Family, floor: float = FLOOR) -> tuple[em.Expectation, em.Maximiser]:
    """Return the engine over the rows, and the M-step."""
    frame = frame_of(x, np.ones(len(x)), family)
    return best_start.in_memory([Block(frame.rows(x))]), em.Maximiser(frame, floor)


def with_a_dead_component(x: FloatArray, family: Family, maximise: em.Maximiser) -> Parameters:
    """Return a start whose third component is far from all rows."""
    covariances = shaped(family, np.stack([np.cov(x[:500].T), np.cov(x[500:980].T), np.eye(2)]))
    means = np.array([[0.0, 0], [20, 0], [1e3, -1e3]])
    return maximise.frame.inward(Parameters(np.array([0.5, 0.49, 0.01]), means, covariances, family))


@pytest.mark.parametrize("acceleration", ["none", "squarem"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_dead_component_finds_the_cluster_that_was_missed(family: Family, acceleration: em.Acceleration) -> None:
    """EM never moves a component without rows; restarted at the least likely row it finds the third cluster."""
    x = three_clusters()
    expectation, maximise = setting(x, family)
    start = with_a_dead_component(x, family, maximise)
    left = em.run(expectation, em.begin(start, acceleration), maximise, replace(GOAL, reseedings=0))
    fit = em.run(expectation, em.begin(start, acceleration), maximise, GOAL)
    mixture = maximise.frame.outward(fit.best.parameters)
    assert left.best.parameters.weights.min() == 0
    assert fit.reseeded >= 1
    assert fit.outcome is Outcome.CONVERGED
    assert fit.best.moments.mean_log_likelihood > left.best.moments.mean_log_likelihood + 0.05
    nearest = np.linalg.norm(mixture.means - x[980:].mean(axis=0), axis=1).min()
    assert nearest < 0.5
    assert fit.best.parameters.family == family
    assert len(fit.history) == fit.iterations + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_exact_steps_are_never_reseeded(family: Family) -> None:
    """With tol = 0 the dead component stays as it is: t passes are t plain EM steps."""
    x = three_clusters()
    expectation, maximise = setting(x, family)
    start = with_a_dead_component(x, family, maximise)
    fit = em.run(expectation, em.begin(start, "none"), maximise, em.Goal(0, 12, 9))
    at = start
    for _ in range(12):
        at, _ = maximise(at, expectation([at])[0])
    assert fit.reseeded == 0
    np.testing.assert_array_equal(fit.best.parameters.means, at.means)
    np.testing.assert_array_equal(fit.best.parameters.weights, at.weights)


@pytest.mark.parametrize("family", ["full", "tied"])
def test_a_reseeding_survives_a_checkpoint(family: Family) -> None:
    """Stored and loaded after every pass, also before the least likely rows are read, the fit ends alike."""
    x = three_clusters()
    expectation, maximise = setting(x, family)
    state = em.begin(with_a_dead_component(x, family, maximise), "squarem")
    whole = em.run(expectation, state, maximise, GOAL)
    phases = set()
    while state.outcome is None:
        state = em.advance(state, expectation([state.candidate])[0], maximise, GOAL)
        phases.add(state.position.phase)
        state = checkpoint.decode_state(checkpoint.encode_state(state, {}), {}, "here")
    assert ("lookup" in phases) == (family == "tied")
    assert state.fit.history == whole.history
    assert state.fit.reseeded == whole.reseeded >= 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_reseeding_never_makes_the_model_worse(family: Family, seed: int) -> None:
    """With duplicates, outliers and too many components, the model is at least as likely as without restarts."""
    generator = np.random.default_rng(seed)
    x = np.round(generator.standard_t(2, (150, 2)), 1)
    expectation, maximise = setting(x, family)
    covariances = shaped(family, np.stack([np.cov(x.T)] * 12))
    chosen = generator.choice(len(x), 12, replace=False)
    start = maximise.frame.inward(Parameters(np.full(12, 1 / 12), x[chosen], covariances, family))
    fits = [
        em.run(expectation, em.begin(start, "squarem"), maximise, replace(GOAL, max_iter=100, reseedings=n))
        for n in (0, 3)
    ]
    assert fits[1].best.moments.mean_log_likelihood >= fits[0].best.moments.mean_log_likelihood
    assert len(fits[1].history) <= 101
    assert fits[1].history[: len(fits[0].history)] == fits[0].history


def test_the_outcome_is_that_of_the_model_returned() -> None:
    """The component of one outlier is restarted; if that gains nothing, the fit has the outcome before the restart."""
    x = np.concatenate([three_clusters()[:980], [[60.0, 60.0]]])
    expectation, maximise = setting(x, "diag", floor=1e-3)
    weights, means = np.array([0.6, 0.399, 0.001]), np.array([[0.0, 0], [20, 0], [60, 60]])
    start = maximise.frame.inward(Parameters(weights, means, np.stack([np.eye(2)] * 3), "diag"))
    alone = em.run(expectation, em.begin(start, "none"), maximise, replace(GOAL, reseedings=0))
    goal = replace(GOAL, max_iter=alone.iterations + 3)
    cut = em.run(expectation, em.begin(start, "none"), maximise, goal)
    assert cut.reseeded == 1
    assert len(cut.history) == goal.max_iter + 1
    assert cut.outcome is alone.outcome is Outcome.CONVERGED
    np.testing.assert_array_equal(cut.best.parameters.means, alone.best.parameters.means)


def test_a_singular_component_is_restarted_without_a_floor() -> None:
    """Without a floor, a component that collapses onto one repeated value does not end the fit at once."""
    generator = np.random.default_rng(3)
    x = np.concatenate([np.full((6, 2), 9.0), generator.standard_normal((200, 2)), [[-30.0, 0]] * 3])
    expectation, maximise = setting(x, "full", floor=0.0)
    covariances = np.stack([np.eye(2) * 1e-4, np.eye(2)])
    start = maximise.frame.inward(Parameters(np.array([0.03, 0.97]), np.array([[9.0, 9], [0, 0]]), covariances))
    state, reseedings = em.begin(start, "none"), []
    while state.outcome is None:
        state = em.advance(state, expectation([state.candidate])[0], maximise, GOAL)
        reseedings.append(len(state.reseedings))
    assert state.reseedings
    assert state.reseedings[0].outcome is Outcome.DEGENERATE
    assert 0 in state.reseedings[0].components
    assert np.isfinite(state.trace.history).all()


@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
def test_a_point_mass_is_reported_with_its_value(family: Family) -> None:
    """A point mass has the number of its component in the model, its value and its share."""
    generator = np.random.default_rng(1)
    x = np.concatenate([np.tile([3.0, -7e5], (300, 1)), generator.standard_normal((700, 2)) * [1, 1e3] + [0, 2e4]])
    expectation, maximise = setting(x, family)
    covariances = shaped(family, np.stack([np.cov(x.T) * 1e-4, np.cov(x[300:].T)]))
    start = maximise.frame.inward(
        Parameters(np.array([0.3, 0.7]), np.array([[3, -7e5], [0, 2e4]]), covariances, family)
    )
    fit = em.run(expectation, em.begin(start, "squarem"), maximise, GOAL)
    (mass,) = reseeding.point_masses(fit.best.parameters, fit.best.moments, maximise)
    np.testing.assert_allclose(mass.value, [3.0, -7e5], rtol=1e-6, atol=1e-6)
    assert abs(mass.share - 0.3) < 1e-6
    assert mass.component == 1
    assert maximise.frame.outward(fit.best.parameters).ordered().weights[1] == pytest.approx(0.3)
    assert fit.reseeded == 0


def test_two_components_at_one_point_mass_are_one_too_many() -> None:
    """The lighter of two components at the same repeated value is restarted, and the likelihood rises."""
    x = np.concatenate([np.tile([40.0, 0.0], (200, 1)), three_clusters()])
    expectation, maximise = setting(x, "full")
    tight = np.eye(2) * 1e-5
    wide = np.cov(x[200:].T)
    means = np.array([[40.0, 0], [40, 1e-4], [5, 5]])
    start = maximise.frame.inward(Parameters(np.array([0.1, 0.06, 0.84]), means, np.stack([tight, tight, wide])))
    left = em.run(expectation, em.begin(start, "none"), maximise, replace(GOAL, reseedings=0))
    fit = em.run(expectation, em.begin(start, "none"), maximise, GOAL)
    assert len(reseeding.point_masses(left.best.parameters, left.best.moments, maximise)) == 2
    assert fit.reseeded >= 1
    assert fit.best.moments.mean_log_likelihood > left.best.moments.mean_log_likelihood
    assert len(reseeding.point_masses(fit.best.parameters, fit.best.moments, maximise)) == 1


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_weights_times_a_constant_change_nothing(scale: float) -> None:
    """Dead components are those of few mean rows, so the unit of the weights does not matter."""
    x = three_clusters()
    _, maximise = setting(x, "full")
    start = with_a_dead_component(x, "full", maximise)
    block = Block(maximise.frame.rows(x), np.full(len(x), scale))
    fit = em.run(best_start.in_memory([block]), em.begin(start, "none"), maximise, GOAL)
    plain = em.run(setting(x, "full")[0], em.begin(start, "none"), maximise, GOAL)
    assert fit.reseeded == plain.reseeded == 1
    np.testing.assert_allclose(fit.best.parameters.means, plain.best.parameters.means, atol=1e-6)


def test_too_few_rows_for_all_components_are_left_alone() -> None:
    """With fewer than (d + 1) / 2 rows per component, some must be dead: nothing is restarted."""
    x = np.random.default_rng(0).standard_normal((8, 3))
    expectation, maximise = setting(x, "diag")
    start = maximise.frame.inward(Parameters(np.full(5, 0.2), x[:5], np.stack([np.eye(3)] * 5), "diag"))
    assert em.run(expectation, em.begin(start, "none"), maximise, GOAL).reseeded == 0


def four(generator: np.random.Generator, sizes: tuple[int, ...]) -> FloatArray:
    """Return rows of clusters far from each other, `sizes` of each."""
    centres = np.array([[0.0, 0, 0], [8, 0, 0], [0, 60, 0], [0, 0, 9], [-40, 0, 0]])
    return np.concatenate([c + generator.standard_normal((n, 3)) for c, n in zip(centres, sizes, strict=True)])


def warm_fit(sizes: tuple[int, ...], family: Family, *, warm: bool = True) -> tuple[em.Fit, em.Maximiser]:
    """Fit rows with clusters of these sizes, from a model of four clusters with a quarter of the rows each."""
    x = four(np.random.default_rng(1), sizes)
    expectation, maximise = setting(x, family)
    centres = four(np.random.default_rng(0), (1, 1, 1, 1, 0))
    start = Parameters(np.full(4, 0.25), centres, shaped(family, np.repeat(np.eye(3)[None], 4, axis=0)), family)
    goal = em.Goal(1e-4, 100, reseedings=1, warm=warm)
    return em.run(expectation, em.begin(maximise.frame.inward(start), "squarem"), maximise, goal), maximise


@pytest.mark.parametrize("family", FAMILIES)
def test_a_component_whose_cluster_has_left_gets_weight_0_quickly(family: Family) -> None:
    """It takes five passes at most, one more for tied, and leaves no spike on a few outliers."""
    fit, _ = warm_fit((800, 700, 0, 800, 0), family)
    assert fit.outcome is Outcome.CONVERGED
    assert len(fit.history) <= 5 + (family == "tied")
    weights = np.sort(fit.best.parameters.weights)
    np.testing.assert_allclose(weights, [0, 700 / 2300, 800 / 2300, 800 / 2300], atol=0.01)
    assert weights[0] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_component_whose_cluster_has_left_finds_a_new_one(family: Family) -> None:
    """A cluster that is not in the model gets the component without rows."""
    fit, maximise = warm_fit((800, 700, 0, 800, 90), family)
    mixture = maximise.frame.outward(fit.best.parameters)
    found = np.linalg.norm(mixture.means - [-40, 0, 0], axis=1).argmin()
    assert mixture.weights[found] == pytest.approx(90 / 2390, rel=1e-3)
    assert np.linalg.norm(mixture.means[found] - [-40, 0, 0]) < 0.5
    assert len(fit.history) <= 8


def test_a_warm_start_without_empty_components_takes_the_usual_steps() -> None:
    """If every component has rows, the check for empty ones changes no number."""
    warm, cold = (warm_fit((800, 700, 300, 800, 0), "full", warm=warm)[0] for warm in (True, False))
    assert warm.history == cold.history


@pytest.mark.parametrize("family", ["diag", "spherical"])
def test_dependent_columns_do_not_stop_a_reseeding(family: Family) -> None:
    """One-hot columns add up to 1: their covariance is singular, and these families never need all of it."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = np.concatenate([generator.standard_normal((60, 3)) + 5 * labels[:, None], np.eye(3)[labels]], axis=1)
    expectation, maximise = setting(x, family)
    means = np.stack([x[labels == 0].mean(axis=0), x[labels > 0].mean(axis=0), np.full(6, 1e3)])
    spread = shaped(family, np.stack([np.diag(x.var(axis=0))] * 3))
    start = maximise.frame.inward(Parameters(np.array([0.4, 0.59, 0.01]), means, spread, family))
    fit = em.run(expectation, em.begin(start, "squarem"), maximise, GOAL)
    assert fit.reseeded >= 1
    assert fit.outcome is not Outcome.DEGENERATE


def test_a_sound_mixture_replaces_one_with_too_few_rows_once_components_are_restarted() -> None:
    """Before a restart the likelier pass is the best; after it a sound pass is, although it is less likely."""
    x = three_clusters()
    expectation, maximise = setting(x, "full")
    careful = replace(maximise, least=15.0)
    thin = with_a_dead_component(x, "full", maximise)
    sound = replace_third(thin, x)
    dead, alive = (em.Position(at).measured(expectation([at])[0], careful) for at in (thin, sound))
    assert (dead.thin, alive.thin) == (1, 0)
    likelier = replace(dead, penalty=dead.objective - alive.objective - 1)  # by one nat per row
    for earlier in (False, True):
        trace = em.Trace(likelier, (likelier.objective,), earlier=earlier).add(alive, GOAL)
        assert trace.best is (alive if earlier else likelier)
        assert trace.add(likelier, GOAL).best is likelier  # without a restart the likelier pass is the best
    assert em.Trace(alive, (alive.objective,), earlier=True).add(likelier, GOAL).best is not likelier


def test_a_fit_ends_as_the_run_that_its_best_pass_belongs_to() -> None:
    """The number of the best pass decides, even if a pass before a restart had the same log-likelihood."""
    x = three_clusters()
    expectation, maximise = setting(x, "full")
    start = with_a_dead_component(x, "full", maximise)
    best = em.Position(start).measured(expectation([start])[0], maximise)
    value = best.moments.mean_log_likelihood
    trace = em.Trace(best, (value,), best_pass=1).add(best, replace(GOAL, tol=1e-6))
    assert (trace.best_pass, trace.history) == (2, (value, value))
    before = reseeding.Reseeding(1, (2,), Outcome.DEGENERATE, "the first run's end")
    ended = em.State(em.Position(start), trace, reseedings=(before,))
    goal = em.Goal(tol=1e-6, max_iter=0, reseedings=1)
    fit = em.run(expectation, ended, maximise, goal)
    assert (fit.outcome, fit.detail) == (Outcome.ITERATION_LIMIT, "")


def replace_third(at: Parameters, x: FloatArray) -> Parameters:
    """Return the mixture with its third component where the third cluster is; all in units of the frame."""
    maximise = setting(x, at.family)[1]
    mixture = maximise.frame.outward(at)
    means = np.concatenate([mixture.means[:2], x[980:].mean(axis=0)[None]])
    return maximise.frame.inward(Parameters(np.array([0.5, 0.48, 0.02]), means, mixture.covariances, at.family))


def test_the_unsound_mixture_that_lacks_fewer_rows_ranks_higher() -> None:
    """Two components with 15 of 20 rows lack half a component together; one with a single row lacks a whole one."""
    x = three_clusters()
    expectation, maximise = setting(x, "full")
    at = replace_third(with_a_dead_component(x, "full", maximise), x)
    (moments,) = expectation([at])
    short = [replace(maximise, least=least).shortfall(moments) for least in (0.0, 15.0, 40.0)]
    np.testing.assert_allclose(np.stack(short), np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 0.5]]), atol=1e-6)
    sound, scarce, single = (em.Pass(at, moments, thin=n, missing=m) for n, m in ((0, 0.0), (2, 0.5), (1, 0.95)))
    likelier = replace(single, penalty=-5.0)
    assert sound.standing > scarce.standing > likelier.standing > single.standing
