"""What the benchmarks of fits share: their tables as numpy arrays (GMM_SPARK_DATA says where), and what they print."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.dataset as pds
from benchmark import truth
from flights import UNITS, read_flights

from gmm_spark.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from sklearn.mixture import GaussianMixture as SklearnMixture

    from gmm_spark.parameters import Family, FloatArray


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
