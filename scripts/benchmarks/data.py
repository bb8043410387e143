"""What the benchmarks of fits share: their tables as numpy arrays (GMM_SPARK_DATA says where), and what they print."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.dataset as pds
from benchmark import truth
from flights import UNITS, read_flights
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from gmm_spark.mixture.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray
    from sklearn.mixture import GaussianMixture as SklearnMixture

    from gmm_spark.mixture.parameters import Family, FloatArray

    Labelled = tuple[FloatArray, NDArray[Any]]  # (n, d) rows and their n labels


@dataclass(frozen=True)
class Data:
    """A table and how many components to fit.

    Args:
        k: the number of its labels, where it has some.
        read: returns its (n, d) rows.
    """

    k: int
    read: Callable[[], FloatArray]


def synthetic(rows: int, d: int = 16, k: int = 16) -> FloatArray:
    """Return rows of a mixture whose components overlap, of a standard deviation of about 0.1."""
    rng, mixture = np.random.default_rng(3), truth(d, k, "full", seed=1)
    component = rng.choice(k, rows, p=mixture.weights)
    factors = np.linalg.cholesky(mixture.covariances)
    x = np.empty((rows, d))
    for each in range(k):
        own = component == each
        x[own] = mixture.means[each] + rng.standard_normal((own.sum(), d)) @ factors[each].T
    return x


def _file(name: str) -> pa.Table:
    path = Path(os.environ["GMM_SPARK_DATA"]) / name
    return pcsv.read_csv(path) if path.suffix == ".csv" else pds.dataset(path, partitioning="hive").to_table()


def _matrix(table: pa.Table, columns: Sequence[str]) -> FloatArray:
    return np.stack([table[name].to_numpy().astype(np.float64) for name in columns], axis=1)


def _but(name: str, *left_out: str) -> FloatArray:
    table = _file(name)
    return _matrix(table, [column for column in table.column_names if column not in left_out])


# Miles, minutes, and dollars of trips that can have been and were tipped by card.
_LIKELY = {
    "trip_distance": (0, 60),
    "minutes": (1, 180),
    "fare_amount": (0, 250),
    "tip_amount": (0, 100),
    "total_amount": (0, 400),
}


def _taxi() -> FloatArray:
    """Return distance, duration, fare, tip and total of the trips that can have been: no point masses, no outliers."""
    table = _file("nyc_yellow_taxi")
    minutes = pc.divide(
        pc.cast(pc.milliseconds_between(table["pickup_datetime"], table["dropoff_datetime"]), "double"), 60e3
    )
    x = _matrix(table.append_column("minutes", minutes), list(_LIKELY))
    low, high = np.array(list(_LIKELY.values())).T
    return np.asarray(x[((x > low) & (x < high)).all(axis=1)])


def _flights() -> FloatArray:
    return _matrix(read_flights().select(list(UNITS)).drop_null(), list(UNITS))


DATA = {
    "iris": Data(3, lambda: _but("iris.csv", "rownames", "Species")),
    "faithful": Data(3, lambda: _but("faithful.csv", "rownames")),
    "satellite": Data(6, lambda: _but("satellite.parquet", "classes")),
    "letter": Data(26, lambda: _but("letter.parquet", "lettr")),
    "shuttle": Data(7, lambda: _but("shuttle.parquet", "Class")),
    "cover": Data(8, lambda: _but("cover.parquet", "outlier")),
    "taxi": Data(8, _taxi),
    "flights": Data(6, _flights),
}


def say(*cells: object) -> None:
    """Print a row of a table."""
    sys.stdout.write("| " + " | ".join(f"{c:.5g}" if isinstance(c, float) else str(c) for c in cells) + " |\n")
    sys.stdout.flush()


def head(*cells: str) -> None:
    """Print the head of a table."""
    say(*cells)
    say(*("---" for _ in cells))


def of_sklearn(fitted: SklearnMixture, family: Family) -> Parameters:
    """Return scikit-learn's mixture as Parameters."""
    k, d = fitted.means_.shape
    eye, own = np.eye(d), fitted.covariances_
    covariances = np.broadcast_to(own, (k, d, d)) if family in {"full", "tied"} else own.reshape(k, -1, 1) * eye
    return Parameters(fitted.weights_ / fitted.weights_.sum(), fitted.means_, covariances, family)


_MOST_ROWS = 5_000  # of a labelled table: scikit-learn's best of five takes minutes on more


def labelled() -> dict[str, Callable[[int], Labelled]]:
    """Return tables with labels: bundled ones, those of GMM_SPARK_DATA, and mixtures of a known truth, by a seed."""
    bundled = {"wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
    files = {
        "iris": ("iris.csv", "Species", "rownames"),
        "penguins": ("penguins.csv", "species", "rownames", "island", "sex", "year"),
        "satellite": ("satellite.parquet", "classes"),
        "letter": ("letter.parquet", "lettr"),
        "shuttle": ("shuttle.parquet", "Class"),
        "cover": ("cover.parquet", "outlier"),
        "chevron": ("chevron.csv", "class"),
    }
    return {
        **{name: partial(_bundled, read) for name, read in bundled.items()},
        **{name: partial(_labelled_file, names) for name, names in files.items()},
        **{f"far {d}": partial(far_clusters, d, 16 * d) for d in (5, 10, 15, 25, 50)},
        **{kind: partial(known_mixture, kind) for kind in ("overlapping", "unbalanced", "elongated", "heavy tails")},
    }


def _bundled(read: Callable[..., Labelled], _: int) -> Labelled:
    x, labels = read(return_X_y=True)
    return x[:, x.std(axis=0) > 0], labels


def _labelled_file(names: tuple[str, ...], _: int) -> Labelled:
    name, label, *left_out = names
    table = _file(name)
    table = table.drop_columns([each for each in left_out if each in table.column_names]).drop_null()
    labels = np.unique(table[label].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    x = _matrix(table, [column for column in table.column_names if column != label])
    taken = np.sort(np.random.default_rng(0).permutation(len(x))[:_MOST_ROWS])
    return x[taken], labels[taken]


def far_clusters(d: int, rows: int, seed: int) -> Labelled:
    """Return two normal clusters of as many rows, six standard deviations apart."""
    rng = np.random.default_rng([d, seed])
    labels, x = np.repeat([0, 1], rows // 2), rng.standard_normal((rows // 2 * 2, d))
    x[labels == 1] += 6 * np.linalg.qr(rng.standard_normal((d, d)))[0][0]
    return x, labels


def known_mixture(kind: str, seed: int) -> Labelled:
    """Return rows of a mixture that is hard in one way, and which component each is from."""
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
