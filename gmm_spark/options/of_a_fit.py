"""The options of a fit: name, type, default, help and check of each are here and nowhere else.

A field of the dataclasses below is an option; its name is the one in Python without Spark. The estimator has it as a
param, the jobs as a key of a section: both take default, help and check from `OPTIONS`, by which tests compare them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from gmm_spark import em
from gmm_spark.em import Acceleration
from gmm_spark.errors import ConfigurationError, options_called
from gmm_spark.mixture import prior
from gmm_spark.mixture.parameters import Family
from gmm_spark.mixture.prior import Prior
from gmm_spark.options.option import option, options_of
from gmm_spark.statistics.engines import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters

InitMode = Literal["k-means++", "random"]
Resume = Literal["auto", "never", "require"]
HandleInvalid = Literal["error", "skip"]

# What Spark's params and the JVM can hold: a larger number would fail there, in the middle of a fit.
_MOST = 2**31 - 1
# Times d + 1, the fewest rows that could carry a covariance; but no more than half an equal share of all rows. Of 36
# labelled fits 2 to 5 mended one, in which an outlier group of 68 rows was a component, and 8 cost two small clusters.
_AMPLE = 4.0
# Times d + 1, the fewest that are never a cluster, whatever they gain: outliers. Variances of its own in all directions
# fit fewer than twice as many by chance (digits, 61 features: thousands of nats; ARI of diag 0.26 for 0.33).
_LEAST, _LEAST_OWN, _OWN = 1.0, 2.0, frozenset({"full", "diag"})


@dataclass(frozen=True)
class Options:
    """What a fit is asked for.

    Raises:
        ConfigurationError: a value that an option cannot have.
    """

    k: int = option(2, "Number of components.", least=1, most=_MOST, keys="mixture.k grid.k")
    family: Family = option(
        "full",
        "What the covariances may be: full, diag, spherical; tied, tied-diag, tied-spherical: one for all.",
        param="covarianceType",
        keys="mixture.family grid.families",
    )
    max_iter: int = option(100, "Most EM iterations on all the rows.", least=0, most=_MOST)
    tol: float = option(
        1e-4,
        "Stop when less mean log-likelihood per row (nats) than this is left to gain; 0 runs all iterations.",
        least=0,
    )
    seed: int = option(0, "Seed of the sample and the starts; the same data, layout and seed give the same model.")
    init_mode: InitMode = option("k-means++", "How a start places its components: k-means++, or random rows (random).")
    starts: int = option(20, "Short EM runs on a sample, of which the best go on.", least=1, most=_MOST)
    acceleration: Acceleration = option("squarem", "Fewer passes by extrapolation (squarem), or plain EM (none).")
    covariance_floor: float = option(
        1e-6,
        "Smallest variance of a component in any direction, relative to the data's; 0 switches it off.",
        least=0,
    )
    covariance_prior: Prior = option(
        "auto",
        "Pseudo-rows of the data's covariance in each component's, so that none collapses onto a few rows; auto is "
        "2 / sqrt(rows), 0 maximum likelihood.",
        least=0,
    )
    min_component_weight: Prior = option(
        "auto",
        "Rows of mean weight that a component has at least, where any start leads to that; auto is 2 (features + 1) "
        "for full and diag, features + 1 for others, but at most rows / (2 k); 0 switches it off.",
        least=0,
    )
    noise: bool = option(
        default=False,
        doc="A uniform component for rows that belong to no cluster; their prediction is -1, and the last of their "
        "probabilities is its own.",
    )
    precision: Precision = option(
        "float64",
        "float64; or float32: half the bytes per pass, and products in float32 where they err by < 1e-3 nats.",
    )
    handle_invalid: HandleInvalid = option(
        "error",
        "Rows with null, NaN, infinite or misshapen features: refuse the table (error), or leave them out and count "
        "them (skip).",
        keys="fit.invalid",
    )
    max_invalid_fraction: float = option(
        1.0,
        "Share of unusable rows above which a table is refused.",
        least=0,
        most=1,
        keys="quality.max_invalid_fraction",
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            OPTIONS[each.name].checked(getattr(self, each.name))

    def check_initial(self, initial: Parameters | None, d: int) -> None:
        """Refuse a mixture to start from that is not one of these options, of d features.

        Raises:
            ConfigurationError: it is not.
        """
        wanted = self.k, d, self.family, self.noise
        given = initial and (initial.k, initial.d, initial.family, initial.noise is not None)
        if given and given != wanted:
            raise ConfigurationError(
                "initial model",
                got=_shape(*given),
                expected=_shape(*wanted),
                do="Set these options to the model's, and give the features that it was fitted on.",
                options=("k", "family", "noise"),
            )

    def prior_share(self, effective_rows: float) -> float:
        """Return the pseudo-rows of the data's covariance in each component's, per row of n at mean weight."""
        return prior.share_of(self.covariance_prior, effective_rows)

    def least_rows(self, d: int, rows: int) -> tuple[float, float]:
        """Return how many of n rows, of mean weight, a sound component of d features holds at least, and an ample one.

        Between the two it is charged for what it lacks. Where a number is asked for, all above it are alike.
        """
        if self.min_component_weight != "auto":
            return self.min_component_weight, 0.0
        share, least = rows / (2 * self.k), _LEAST_OWN if self.family in _OWN else _LEAST
        return min(least * (d + 1), share), min(_AMPLE * (d + 1), share)

    def maximiser(self, frame: Coordinates, rows: int, effective_rows: float) -> em.Maximiser:
        """Return the M-step in these coordinates, for n rows, as good as `effective_rows` of equal weight."""
        share = self.prior_share(effective_rows)
        return em.Maximiser(frame, self.covariance_floor, share, *self.least_rows(len(frame.center), rows))


def _shape(k: int, d: int, family: Family, noise: bool) -> str:  # noqa: FBT001 - the parts of a sentence
    return f"{k} components of {d} features, {family}{', with a noise' if noise else ''}"


@dataclass(frozen=True)
class Columns:
    """The columns that a fit reads and a score writes."""

    features_col: str = option(
        "features",
        "One column that has all features: an array of numbers or a Spark ML vector.",
        keys="features.column",
    )
    input_cols: tuple[str, ...] | None = option(
        None, "Numeric columns, one for each feature, instead of one column that has all.", keys="features.columns"
    )
    weight_col: str | None = option(
        None, "Numeric column with the weight of each row; without one every row counts once.", keys="features.weight"
    )
    prediction_col: str = option("prediction", "Output: the most probable component, int.", keys="")
    probability_col: str = option("probability", "Output: P(Z = k | x), array<double>.", keys="")
    log_density_col: str = option("log_density", "Output: log p(x) in nats, double.", keys="")


@dataclass(frozen=True)
class CheckpointOptions:
    """Where a fit keeps its progress, how often, and whether it goes on from there."""

    path: str = option(
        None, "Folder for the progress of this fit alone; without one none is kept.", param="checkpointDir", keys=""
    )
    seconds: float = option(
        30.0,
        "Least seconds between two checkpoints of the parameters; 0 keeps every pass.",
        least=0,
        param="checkpointSeconds",
        keys="fit.checkpoint_seconds",
    )
    resume: Resume = option(
        "auto",
        "A fit whose driver died: go on where it can, else start again (auto); or refuse to start again (require); or "
        "do not look (never).",
    )
    keep: bool = option(
        default=False,
        doc="Leave the last checkpoint when the fit has ended.",
        param="keepLastCheckpoint",
        keys="",
    )


OPTIONS = {each.name: each for kind in (Options, Columns, CheckpointOptions) for each in options_of(kind)}
BY_PARAM = {each.param: each for each in OPTIONS.values()}


def by_params(given: Mapping[str, object]) -> Options:
    """Return the options that are given by the names of params; a seed of any size.

    Raises:
        ConfigurationError: a value that an option cannot have.
    """
    values = {BY_PARAM[name].name: BY_PARAM[name].checked(value, f"param {name}") for name, value in given.items()}
    return Options(**{**values, "seed": values["seed"] % 2**63})


def params_named() -> AbstractContextManager[None]:
    """Let errors of a fit name params where they name options."""
    return options_called(lambda name: OPTIONS[name].param if name in OPTIONS else name)
