"""Random rows from a mixture, the same on any number of partitions."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gmm_spark.errors import ConfigurationError
from gmm_spark.spark.arrow_types import spark_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import FloatArray, Parameters

_CHUNK = 4096  # rows that share a random stream


def sample(spark: SparkSession, parameters: Parameters, n: int, seed: int, features: str | Sequence[str]) -> DataFrame:
    """Return n rows: one array column, or d numeric ones, and the int `component` of each row."""
    if not isinstance(n, Integral) or n < 0:
        expected = "a whole number of at least 0"
        raise ConfigurationError("number of rows n", got=n, expected=expected, do="Ask for some rows.")
    feature = pa.list_(pa.float64()) if isinstance(features, str) else pa.float64()
    names = [features] if isinstance(features, str) else features
    schema = pa.schema([*((name, feature) for name in names), ("component", pa.int32())])
    return spark.range(n).mapInArrow(partial(_rows, parameters, seed, schema), spark_schema(schema))


def _rows(
    parameters: Parameters, seed: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        ids = batch.column(0).to_numpy()
        for chunk in np.unique(ids // _CHUNK):
            x, component = _chunk(parameters, np.random.default_rng([seed % 2**63, int(chunk)]))
            members = ids[ids // _CHUNK == chunk] % _CHUNK
            yield _batch(x[members], component[members], schema)


def _chunk(parameters: Parameters, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    noise = parameters.noise
    weights = parameters.weights if noise is None else np.append(parameters.weights, noise.weight)
    component = rng.choice(parameters.k_with_noise, _CHUNK, p=weights)
    normal = rng.standard_normal((_CHUNK, parameters.d))
    gaussian = np.minimum(component, parameters.k - 1)  # noise rows are replaced below
    x = parameters.means[gaussian] + parameters.spread.rows_from_noise(gaussian, normal)
    if noise is not None:
        is_noise = component == parameters.k
        x[is_noise] = rng.uniform(noise.box[0], noise.box[1], (_CHUNK, parameters.d))[is_noise]
        component[is_noise] = -1
    return x, component.astype(np.int32)


def _batch(x: FloatArray, component: FloatArray, schema: pa.Schema) -> pa.RecordBatch:
    n, d = x.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * d)
    as_array = pa.types.is_list(schema.field(0).type)
    features = [pa.ListArray.from_arrays(offsets, pa.array(x.ravel()))] if as_array else [pa.array(c) for c in x.T]
    return pa.RecordBatch.from_arrays([*features, pa.array(component)], schema=schema)
