"""The tables of the measurements as numpy arrays: from GMM_SPARK_DATA, from packages, or drawn from known mixtures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.dataset as pds
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from gmm_spark.mixture.parameters import Parameters
from scripts.flights import UNITS, read_flights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray

    Labelled = tuple[FloatArray, NDArray[Any]]  # (n, d) rows and their n labels

_MOST_ROWS = 5_000  # of a labelled table: with more rows scikit-learn's best of five takes minutes


def truth(d: int, k: int, family: str = "full", distance: float = 3.0) -> Parameters:
    """Return a mixture of k components that overlap a little.

    It is scaled down to a standard deviation of 0.1, so that Spark ML's components do not collapse and stop it early.

    Args:
        d: features.
        k: components.
        family: the family of its covariances, which are returned as full ones.
        distance: standard deviation of the means, in standard deviations of a component.
    """
    rng = np.random.default_rng(1)
    turns = np.linalg.qr(rng.standard_normal((k, d, d)))[0] if family == "full" else np.stack([np.eye(d)] * k)
    spread = rng.uniform(0.5, 2.0, (k, 1 if family.endswith("spherical") else d)) * np.ones(d)
    spread = np.ones((k, d)) if family.startswith("tied") else spread
    covariances = np.einsum("kij,kj,klj->kil", turns, spread, turns)
    means = distance * rng.standard_normal((k, d))
    return Parameters(rng.dirichlet(np.full(k, 20.0)), 0.1 * means, 0.01 * covariances, "full")


def draw_rows(rows: int, mixture: Parameters) -> FloatArray:
    """Return random rows of a mixture."""
    rng = np.random.default_rng(3)
    component = rng.choice(mixture.k, rows, p=mixture.weights)
    factors = np.linalg.cholesky(mixture.covariances)
    x = np.empty((rows, mixture.d))
    for each in range(mixture.k):
        own = component == each
        x[own] = mixture.means[each] + rng.standard_normal((own.sum(), mixture.d)) @ factors[each].T
    return x


def far_clusters(d: int, rows: int, seed: int) -> Labelled:
    """Return two normal clusters of equal size, six standard deviations apart."""
    rng = np.random.default_rng([d, seed])
    labels, x = np.repeat([0, 1], rows // 2), rng.standard_normal((rows // 2 * 2, d))
    x[labels == 1] += 6 * np.linalg.qr(rng.standard_normal((d, d)))[0][0]
    return x, labels


def hard_mixture(kind: str, seed: int) -> Labelled:
    """Return rows of a mixture that is hard to fit in one way, and the component of each row."""
    rng, n, d, k = np.random.default_rng([len(kind), seed]), 2_000, 6, 4
    shares = {"unbalanced": [0.7, 0.2, 0.07, 0.03]}.get(kind, [1 / k] * k)
    labels = np.sort(rng.choice(k, n, p=shares))
    means = {"overlapping": 1.6}.get(kind, 3.0) * rng.standard_normal((k, d))
    stretched = np.diag([6.0, *[0.6] * (d - 1)]) if kind == "elongated" else np.eye(d)
    turns = np.linalg.qr(rng.standard_normal((k, d, d)))[0]
    noise = rng.standard_normal((n, d))
    if kind == "heavy tails":
        noise /= np.sqrt(rng.chisquare(3, n) / 3)[:, None]
    return means[labels] + np.einsum("nij,nj->ni", (turns @ stretched)[labels], noise), labels


@dataclass(frozen=True)
class File:
    """A table of GMM_SPARK_DATA: its numeric columns, except the label and the excluded ones.

    Args:
        path: relative to that folder.
        k: the number of components to fit.
        label: the column of known classes, if there is one.
        left_out: numeric columns that are not features.
    """

    path: str
    k: int
    label: str | None = None
    left_out: tuple[str, ...] = ("rownames",)

    @property
    def full_path(self) -> Path:
        """The path of the table."""
        if "GMM_SPARK_DATA" not in os.environ:
            raise SystemExit("GMM_SPARK_DATA: got nothing; expected the folder of the tables. Set it.")
        return Path(os.environ["GMM_SPARK_DATA"]) / self.path

    def read(self) -> pa.Table:
        """Return the whole table."""
        if self.path.endswith(".csv"):
            return pcsv.read_csv(self.full_path)
        return pds.dataset(self.full_path, partitioning="hive").to_table()

    def rows(self, most: int | None = None) -> tuple[FloatArray, tuple[str, ...], NDArray[Any] | None]:
        """Return all rows with finite features, or `most` of them; the names of the features; the labels."""
        table, no_features = self.read(), {self.label, *self.left_out}
        numeric = [
            each.name for each in table.schema if pa.types.is_floating(each.type) or pa.types.is_integer(each.type)
        ]
        names = tuple(name for name in numeric if name not in no_features)
        x = _matrix(table, names)
        chosen = np.flatnonzero(np.isfinite(x).all(axis=1))
        if most:
            chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:most])
        labels = table[self.label].to_numpy(zero_copy_only=False)[chosen] if self.label else None
        return x[chosen], names, labels


def _matrix(table: pa.Table, columns: Sequence[str]) -> FloatArray:
    return np.stack([table[name].to_numpy().astype(np.float64) for name in columns], axis=1)


FILES = {
    "iris": File("iris.csv", 3, "Species"),
    "penguins": File("penguins.csv", 3, "species", ("rownames", "year")),
    "chevron": File("chevron.csv", 2, "class"),
    "faithful": File("faithful.csv", 3),
    "satellite": File("satellite.parquet", 6, "classes"),
    "letter": File("letter.parquet", 26, "lettr"),
    "shuttle": File("shuttle.parquet", 7, "Class"),
    "cover": File("cover.parquet", 8, "outlier"),
    "http": File("http.parquet", 8, "outlier"),
    "taxi": File("nyc_yellow_taxi", 8, left_out=("year", "month")),
}

# Possible ranges of miles, minutes and dollars, of trips with a tip by card.
_LIKELY = {
    "trip_distance": (0, 60),
    "minutes": (1, 180),
    "fare_amount": (0, 250),
    "tip_amount": (0, 100),
    "total_amount": (0, 400),
}


def _taxi() -> FloatArray:
    """Return distance, duration, fare, tip and total of the possible trips: no point masses, no outliers."""
    table = FILES["taxi"].read()
    minutes = pc.divide(
        pc.cast(pc.milliseconds_between(table["pickup_datetime"], table["dropoff_datetime"]), "double"), 60e3
    )
    x = _matrix(table.append_column("minutes", minutes), list(_LIKELY))
    low, high = np.array(list(_LIKELY.values())).T
    return np.asarray(x[((x > low) & (x < high)).all(axis=1)])


def _features(file: File) -> FloatArray:
    return file.rows()[0]


def _flights() -> FloatArray:
    return _matrix(read_flights().select(list(UNITS)).drop_null(), list(UNITS))


@dataclass(frozen=True)
class Table:
    """A table without labels: how many components to fit, and a function that returns its (n, d) rows."""

    k: int
    read: Callable[[], FloatArray]


def tables(synthetic_rows: int = 2_000_000) -> dict[str, Table]:
    """Return the tables without labels, by name."""
    files = ("iris", "faithful", "satellite", "letter", "shuttle", "cover")
    return {
        **{name: Table(FILES[name].k, partial(_features, FILES[name])) for name in files},
        "taxi": Table(8, _taxi),
        "flights": Table(6, _flights),
        "synthetic": Table(16, lambda: draw_rows(synthetic_rows, truth(16, 16))),
    }


def labelled_tables() -> dict[str, Callable[[int], Labelled]]:
    """Return the tables with labels by name, as functions of a seed, which only random tables use."""
    bundled = {"wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
    files = ("iris", "penguins", "satellite", "letter", "shuttle", "cover", "chevron")
    return {
        **{name: partial(_bundled, read) for name, read in bundled.items()},
        **{name: partial(_of_file, FILES[name]) for name in files},
        **{f"far {d}": partial(far_clusters, d, 16 * d) for d in (5, 10, 15, 25, 50)},
        **{kind: partial(hard_mixture, kind) for kind in ("overlapping", "unbalanced", "elongated", "heavy tails")},
    }


def _bundled(read: Callable[..., Labelled], _: int) -> Labelled:
    x, labels = read(return_X_y=True)
    return x[:, x.std(axis=0) > 0], labels


def _of_file(file: File, _: int) -> Labelled:
    x, _names, labels = file.rows(_MOST_ROWS)
    return x, np.unique(np.asarray(labels), return_inverse=True)[1]
