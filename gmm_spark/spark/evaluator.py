"""The evaluator that chooses mixtures by held-out likelihood."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pyspark import keyword_only
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import TypeConverters
from pyspark.ml.param.shared import HasWeightCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import functions as f

from gmm_spark.errors import DataError
from gmm_spark.spark.columns import weight_column
from gmm_spark.spark.names import Names
from gmm_spark.spark.params import accessors, constructor_defaults, param

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@accessors
class MeanLogLikelihoodEvaluator(
    Evaluator, HasWeightCol, DefaultParamsReadable["MeanLogLikelihoodEvaluator"], DefaultParamsWritable
):
    """The weighted mean of `logDensityCol`: held-out nats a row, larger is better; for CrossValidator.

    Rows without a log-density (unusable features) do not count.
    """

    logDensityCol = param("logDensityCol", "the column of log-densities", TypeConverters.toString)

    _input_kwargs: dict[str, Any]  # set by keyword_only

    @keyword_only
    def __init__(self, *, logDensityCol: str = "log_density", weightCol: str | None = None) -> None:
        super().__init__()
        self._setDefault(**constructor_defaults(MeanLogLikelihoodEvaluator))
        self._set(**self._input_kwargs)

    def _evaluate(self, dataset: DataFrame) -> float:
        table = Names.of(dataset)
        density = table.find(self.getOrDefault("logDensityCol")).column
        weight = weight_column(table, self.getOrDefault("weightCol")) if self.isDefined("weightCol") else f.lit(1.0)
        known = dataset.select(density.alias("density"), weight.alias("weight")).where("density is not null")
        sums = f.sum(f.col("density") * f.col("weight")), f.sum("weight")
        # Added exactly, and so the same to the bit: a sum over partitions depends on which of them arrives first.
        partials = [row[1:] for row in known.groupBy(f.spark_partition_id()).agg(*sums).collect()]
        total, mass = (math.fsum(part) for part in zip(*partials, strict=True)) if partials else (0.0, 0.0)
        if not mass:
            raise DataError(
                "held-out rows", got="none with a log-density", expected="at least one", do="Use fewer folds."
            )
        return total / mass

    def isLargerBetter(self) -> bool:
        """Return True: a higher likelihood is better."""
        return True
