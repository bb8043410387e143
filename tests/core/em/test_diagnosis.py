"""Suspicious components are named with their numbers, and sound ones are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import em
from gmm_spark.em.diagnosis import Finding, findings, unsound
from gmm_spark.mixture.coordinates import coordinates_for
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import Family, FloatArray

FLOOR = 1e-6
NAMES = ("length", "width", "height")


def clusters(seed: int = 0) -> FloatArray:
    """Return 600 rows: two normal clusters of 300, ten standard deviations apart."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.standard_normal((600, 3)) + np.repeat([[0.0, 0, 0], [10, 0, 0]], 300, axis=0))


def found(
    x: FloatArray, labels: FloatArray, family: Family = "full", *, prior: float = 0.0, least: float = 0.0
) -> tuple[Finding, ...]:
    """Return the findings about the mixture that the M-step of these labels gives, two steps of EM on."""
    mean, covariance = x.mean(axis=0), np.cov(x.T, bias=True)
    frame = coordinates_for(family, mean, covariance, NAMES)
    maximise = em.Maximiser(frame, FLOOR, prior / len(x), least)
    k = int(labels.max()) + 1
    groups = [x[labels == c] for c in range(k)]
    own = np.array([np.cov(group.T, bias=True) + 1e-9 * covariance for group in groups])
    if family == "tied":
        own = np.repeat(np.tensordot([len(group) / len(x) for group in groups], own, axes=1)[None], k, axis=0)
    if family in ("diag", "spherical"):
        variances = np.einsum("kii->ki", own)
        own = variances if family == "diag" else np.repeat(variances.mean(axis=1, keepdims=True), 3, axis=1)
    weights = np.array([len(group) for group in groups]) / len(x)
    at = frame.inward(Parameters(weights, np.array([group.mean(axis=0) for group in groups]), own, family))
    blocks = [Block(frame.rows(x))]
    for _ in range(2):
        (moments,) = kernel.accumulate(blocks, [at])
        at, _ = maximise(at, moments)
    (moments,) = kernel.accumulate(blocks, [at])
    return findings(at, moments, maximise, NAMES)


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_sound_components_are_not_suspicious(family: Family) -> None:
    """Two clusters of 300 rows, with a prior and a least size, give no finding."""
    assert found(clusters(), np.repeat([0, 1], 300), family, prior=0.1, least=4) == ()


@pytest.mark.parametrize("family", ["full", "diag"])
def test_a_tie_is_named_with_its_feature_and_value(family: Family) -> None:
    """A component whose rows share one value of a feature is at the floor in that feature, at that value."""
    x = clusters()
    x[300:, 2] = 7.25
    (finding,) = found(x, np.repeat([0, 1], 300), family)
    assert (finding.kind, finding.features) == ("floor", ("height",))
    assert "7.25" in finding.message
    assert "300 rows" in finding.message


def test_a_combination_at_the_floor_is_named_by_its_loadings() -> None:
    """Rows with length = width are at the floor in the difference of the two, each in its own standard deviations."""
    x = clusters()
    x[300:, 1] = x[300:, 0]
    (finding,) = found(x, np.repeat([0, 1], 300))
    assert finding.kind == "floor"
    length, width = x[:, 0].std(), x[:, 1].std()
    loadings = np.array([length, width]) / np.hypot(length, width)
    signs = {name: f"{loading:.2f} {name}" for name, loading in zip(NAMES[:2], loadings, strict=True)}
    assert set(finding.features[:2]) == {"length", "width"}
    assert f"+{signs['length']}" in finding.message
    assert f"-{signs['width']}" in finding.message


@pytest.mark.parametrize("family", ["full", "diag"])
def test_a_direction_that_the_prior_carries_is_named(family: Family) -> None:
    """Where a tie has its variance from the prior, not from the floor, the share of the prior is said."""
    x = clusters()
    x[300:, 2] = 7.25
    (finding,) = found(x, np.repeat([0, 1], 300), family, prior=0.1)
    assert (finding.kind, finding.features) == ("prior", ("height",))
    assert "100 %" in finding.message


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_a_narrow_cluster_that_the_prior_widens_is_sound(family: Family) -> None:
    """Clusters of 300 rows, 300 deviations apart in each feature: the prior's share is said, and no cluster is bad."""
    x = np.random.default_rng(0).standard_normal((600, 3)) + np.repeat([[0.0], [300]], 300, axis=0)
    widened = found(x, np.repeat([0, 1], 300), family, prior=5.0, least=4)
    assert {each.kind for each in widened} == {"widened"}
    assert unsound(widened) == []
    assert "set the covariance prior to 0" in widened[0].message


def test_few_rows_are_counted() -> None:
    """A component of three rows holds fewer than the four that three features need."""
    x = np.concatenate([clusters(), [[50.0, 50, 50], [51, 50, 52], [50, 53, 50]]])
    first, *others = found(x, np.repeat([0, 1, 2], [300, 300, 3]), prior=0.1, least=4)
    assert (first.component, first.kind) == (2, "few_rows")
    assert "3 rows" in first.message
    assert {each.component for each in others} <= {2}


def test_a_repeated_value_is_a_point_mass() -> None:
    """A hundred copies of one row are a point mass at that row, and nothing else is said of it."""
    x = np.concatenate([clusters(), np.repeat([[20.0, -5, 3]], 100, axis=0)])
    (finding,) = found(x, np.repeat([0, 1, 2], [300, 300, 100]))
    assert (finding.component, finding.kind) == (2, "point_mass")
    assert "length = 20, width = -5, height = 3" in finding.message


@pytest.mark.parametrize("least", [0.0, 12.0])
def test_of_a_component_without_rows_only_that_is_said(least: float) -> None:
    """A component whose cluster has left the data is named once, whatever minComponentWeight is."""
    x = clusters()
    frame = coordinates_for("full", x.mean(axis=0), np.cov(x.T, bias=True), NAMES)
    means = np.array([[0.0, 0, 0], [10, 0, 0], [1e3, 0, 0], [1e3, 0, 0]])
    at = frame.inward(Parameters([0.5, 0.3, 0.1, 0.1], means, np.repeat(np.eye(3)[None], 4, axis=0), "full"))
    (moments,) = kernel.accumulate([Block(frame.rows(x))], [at])
    said = findings(at, moments, em.Maximiser(frame, FLOOR, 0.1 / len(x), least), NAMES)
    assert [(each.component, each.kind) for each in said] == [(2, "few_rows"), (3, "few_rows")]
    assert "holds no rows" in said[0].message


def test_a_value_of_zero_is_named_as_zero() -> None:
    """Of a one-hot group each state is named by zeros and ones, not by what rounding left of a zero."""
    states = np.repeat([0, 1, 2], [150, 130, 120])
    named = [each.message for each in found(np.eye(4)[states][:, :3], states, "diag")]
    assert len(named) == 3
    assert all(message.count("= 0") == 2 and message.count("= 1") == 1 for message in named), named


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_two_components_of_one_cluster_are_one(family: Family) -> None:
    """Two components drawn from the same rows are named as one cluster, the third is not."""
    x = clusters()
    labels = np.where(np.arange(600) < 300, np.arange(600) % 2, 2)
    twins = [each for each in found(x, labels, family) if each.kind == "duplicate"]
    assert len(twins) == 1
    assert "components 1 and 2 are one cluster" in twins[0].message


@pytest.mark.parametrize("family", ["full", "diag"])
def test_the_unit_of_a_feature_changes_no_finding(family: Family) -> None:
    """Kinds and features are the same where a feature is given in another unit."""
    x = clusters()
    x[300:, 2] = 7.25
    plain, scaled = (found(x * unit, np.repeat([0, 1], 300), family) for unit in (np.ones(3), np.array([1e3, 1, 1e-4])))
    assert [(each.component, each.kind, each.features) for each in plain] == [
        (each.component, each.kind, each.features) for each in scaled
    ]
