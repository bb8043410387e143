"""Random rows of a mixture, the same on any number of partitions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gmm_spark.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import FloatArray, Parameters

_CHUNK = 4096  # rows that share a random stream


def sample(spark: SparkSession, parameters: Parameters, n: int, seed: int, features: str | Sequence[str]) -> DataFrame:
    """Return n rows: one array column, or d numeric ones, and the int `component` that drew them."""
    if n < 0:
        raise ConfigurationError("number of rows n", got=n, expected="at least 0", do="Ask for some rows.")
    quoted = ["`" + name.replace("`", "``") + "`" for name in ([features] if isinstance(features, str) else features)]
    kind = "array<double>" if isinstance(features, str) else "double"
    ddl = ", ".join([*(f"{name} {kind}" for name in quoted), "component int"])
    return spark.range(n).mapInArrow(partial(_rows, parameters, seed, as_array=isinstance(features, str)), ddl)


def _rows(
    parameters: Parameters, seed: int, batches: Iterable[pa.RecordBatch], *, as_array: bool
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        ids = batch.column(0).to_numpy()
        for chunk in np.unique(ids // _CHUNK):
            x, component = _chunk(parameters, np.random.default_rng([seed % 2**63, int(chunk)]))
            own = ids[ids // _CHUNK == chunk] % _CHUNK
            yield _batch(x[own], component[own], as_array=as_array)


def _chunk(parameters: Parameters, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    noise = parameters.noise
    weights = parameters.weights if noise is None else np.append(parameters.weights, noise.weight)
    component = rng.choice(parameters.rows, _CHUNK, p=weights)
    normal = rng.standard_normal((_CHUNK, parameters.d))
    own = np.minimum(component, parameters.k - 1)
    x = parameters.means[own] + parameters.spread.coloured(own, normal)
    if noise is not None:
        everywhere = component == parameters.k
        x[everywhere] = rng.uniform(noise.box[0], noise.box[1], (_CHUNK, parameters.d))[everywhere]
        component[everywhere] = -1
    return x, component.astype(np.int32)


def _batch(x: FloatArray, component: FloatArray, *, as_array: bool) -> pa.RecordBatch:
    n, d = x.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * d)
    features = [pa.ListArray.from_arrays(offsets, pa.array(x.ravel()))] if as_array else [pa.array(c) for c in x.T]
    names = ["features"] if as_array else [f"x{i}" for i in range(d)]
    return pa.RecordBatch.from_arrays([*features, pa.array(component)], names=[*names, "component"])
