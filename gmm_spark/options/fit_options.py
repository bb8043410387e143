"""The options of a fit: name, type, default, help and check of each are defined only here.

A field of the dataclasses below is an option; its name is that in Python without Spark. It is a param of the estimator
and a key in a section of the jobs: both take default, help and check from `OPTIONS`, and tests compare them with it.
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

# The largest int of Spark's params and the JVM: a larger number would fail there, in the middle of a fit.
_MOST = 2**31 - 1
# Times d + 1, the fewest rows that can have a covariance; but no more than half an equal share of all rows. Of 36
# labelled fits, 2 to 5 improved one, where an outlier group of 68 rows was a component; 8 lost two small clusters.
_AMPLE = 4.0
# Times d + 1: fewer rows than this are outliers, never a cluster, whatever they gain. A component with variances of its
# own in all directions fits fewer than 2 (d + 1) rows by chance (digits, 61 features: thousands of nats; ARI of diag
# 0.26 instead of 0.33).
_LEAST, _LEAST_UNSHARED, _UNSHARED = 1.0, 2.0, frozenset({"full", "diag"})


@dataclass(frozen=True)
class Options:
    """The options of a fit.

    Raises:
        ConfigurationError: a value that an option cannot have.
    """

    k: int = option(2, "Number of components.", least=1, most=_MOST, keys="mixture.k grid.k")
    family: Family = option(
        "full",
        "Form of the covariances: full, diag, spherical; or one for all: tied, tied-diag, tied-spherical.",
        param="covarianceType",
        keys="mixture.family grid.families",
    )
    max_iter: int = option(100, "Most EM iterations on all rows.", least=0, most=_MOST)
    tol: float = option(
        1e-4,
        "Stop when less mean log-likelihood per row (nats) than this is left to gain; 0 runs all iterations.",
        least=0,
    )
    seed: int = option(0, "Seed of the sample and the starts; the same data, layout and seed give the same model.")
    init_mode: InitMode = option("k-means++", "How a start places its components: k-means++, or random rows (random).")
    starts: int = option(20, "Short EM runs on a sample; the best of them continue.", least=1, most=_MOST)
    acceleration: Acceleration = option("squarem", "Fewer passes by extrapolation (squarem), or plain EM (none).")
    covariance_floor: float = option(
        1e-6,
        "Smallest variance of a component in any direction, relative to the data's; 0 switches it off.",
        least=0,
    )
    covariance_prior: Prior = option(
        "auto",
        "Pseudo-rows of the data's covariance in each component, so that none collapses onto a few rows; auto is "
        "2 / sqrt(rows), 0 maximum likelihood.",
        least=0,
    )
    min_component_weight: Prior = option(
        "auto",
        "Least rows of mean weight of a component, if any start leads to such components; auto is 2 (features + 1) "
        "for full and diag, features + 1 for others, but at most rows / (2 k); 0 switches it off.",
        least=0,
    )
    noise: bool = option(
        default=False,
        doc="Add a uniform component for rows that belong to no cluster; their prediction is -1, and the last "
        "probability is that of the noise.",
    )
    precision: Precision = option(
        "float64",
        "float64; or float32: half the bytes per pass, with products in float32 where they err by < 1e-3 nats.",
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
            OPTIONS[each.name].check(getattr(self, each.name))

    def check_initial(self, initial: Parameters | None, d: int) -> None:
        """Refuse an initial mixture that does not have the shape of these options and d features.

        Raises:
            ConfigurationError: the mixture has another shape.
        """
        wanted = self.k, d, self.family, self.noise
        shape = initial and (initial.k, initial.d, initial.family, initial.noise is not None)
        if shape and shape != wanted:
            raise ConfigurationError(
                "initial model",
                got=_shape(*shape),
                expected=_shape(*wanted),
                do="Set these options to those of the model, and use the features that it was fitted on.",
                options=("k", "family", "noise"),
            )

    def prior_share(self, effective_rows: float) -> float:
        """Return the pseudo-rows of the data's covariance in each component, per effective row."""
        return prior.share_of(self.covariance_prior, effective_rows)

    def least_rows(self, d: int, rows: int) -> tuple[float, float]:
        """Return the least rows of mean weight, of n rows, of a sound and of an ample component of d features.

        Between the two a component is charged for the rows that it lacks. With a number in the options none is charged.
        """
        if self.min_component_weight != "auto":
            return self.min_component_weight, 0.0
        share, least = rows / (2 * self.k), _LEAST_UNSHARED if self.family in _UNSHARED else _LEAST
        return min(least * (d + 1), share), min(_AMPLE * (d + 1), share)

    def maximiser(self, frame: Coordinates, rows: int, effective_rows: float) -> em.Maximiser:
        """Return the M-step in these coordinates for n rows that are as good as `effective_rows` of equal weight."""
        share = self.prior_share(effective_rows)
        return em.Maximiser(frame, self.covariance_floor, share, *self.least_rows(len(frame.center), rows))


def _shape(k: int, d: int, family: Family, noise: bool) -> str:  # noqa: FBT001 - the parts of a phrase
    return f"{k} components of {d} features, {family}{', with noise' if noise else ''}"


@dataclass(frozen=True)
class Columns:
    """The columns that a fit reads and that scoring writes."""

    features_col: str = option(
        "features",
        "One column with all features: an array of numbers or a Spark ML vector.",
        keys="features.column",
    )
    input_cols: tuple[str, ...] | None = option(
        None, "Numeric columns, one per feature, instead of one column with all features.", keys="features.columns"
    )
    weight_col: str | None = option(
        None, "Numeric column with the weight of each row; without it every row counts once.", keys="features.weight"
    )
    prediction_col: str = option("prediction", "Output: the most probable component, int.", keys="")
    probability_col: str = option("probability", "Output: P(Z = k | x), array<double>.", keys="")
    log_density_col: str = option("log_density", "Output: log p(x) in nats, double.", keys="")


@dataclass(frozen=True)
class CheckpointOptions:
    """Where and how often a fit writes checkpoints, and whether it resumes from them."""

    path: str = option(
        None,
        "Folder for the checkpoints of this fit alone; without it no checkpoint is written.",
        param="checkpointDir",
        keys="",
    )
    seconds: float = option(
        30.0,
        "Least seconds between two checkpoints of the parameters; 0 writes one after every pass.",
        least=0,
        param="checkpointSeconds",
        keys="fit.checkpoint_seconds",
    )
    resume: Resume = option(
        "auto",
        "Resume a fit whose driver died: if there is a usable checkpoint, else start again (auto); or fail without one "
        "(require); or never (never).",
    )
    keep: bool = option(
        default=False,
        doc="Keep the last checkpoint when the fit has ended.",
        param="keepLastCheckpoint",
        keys="",
    )


OPTIONS = {each.name: each for kind in (Options, Columns, CheckpointOptions) for each in options_of(kind)}
BY_PARAM = {each.param: each for each in OPTIONS.values()}


def options_from_params(params: Mapping[str, object]) -> Options:
    """Return the options with the values of these params; a seed of any size.

    Raises:
        ConfigurationError: a value that an option cannot have.
    """
    values = {BY_PARAM[name].name: BY_PARAM[name].check(value, f"param {name}") for name, value in params.items()}
    return Options(**{**values, "seed": values["seed"] % 2**63})


def errors_name_params() -> AbstractContextManager[None]:
    """Return a context in which errors of a fit name params instead of options."""
    return options_called(lambda name: OPTIONS[name].param if name in OPTIONS else name)
