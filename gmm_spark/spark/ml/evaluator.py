"""The evaluator that compares mixtures by held-out likelihood."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from pyspark import keyword_only
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param.shared import HasWeightCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import functions as f

from gmm_spark.errors import DataError
from gmm_spark.spark.ml.params import accessors, param, set_defaults
from gmm_spark.spark.table.columns import weight_column
from gmm_spark.spark.table.frames import static_frame
from gmm_spark.spark.table.names import Names

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_log = logging.getLogger("gmm_spark")
MOST_UNUSABLE = 0.05  # share of rows without a log-density above which a warning is logged


@accessors
class MeanLogLikelihoodEvaluator(
    Evaluator, HasWeightCol, DefaultParamsReadable["MeanLogLikelihoodEvaluator"], DefaultParamsWritable
):
    """The weighted mean of `logDensityCol`: nats per held-out row, larger is better; for CrossValidator.

    Rows without a log-density (unusable features) do not count.
    """

    logDensityCol = param("logDensityCol", "The column of log-densities.")

    _input_kwargs: dict[str, Any]  # set by keyword_only

    @keyword_only
    def __init__(self, *, logDensityCol: str = "log_density", weightCol: str | None = None) -> None:
        super().__init__()
        set_defaults(self)
        self._set(**self._input_kwargs)

    def _evaluate(self, dataset: DataFrame) -> float:
        dataset = static_frame(dataset, "evaluate")
        table = Names.of(dataset)
        density = table.find(self.getOrDefault("logDensityCol")).column
        weight = weight_column(table, self.getOrDefault("weightCol")) if self.isDefined("weightCol") else f.lit(1.0)
        rows = dataset.select(density.alias("density"), f.when(density.isNotNull(), weight).alias("weight"))
        values = f.col("density") * f.col("weight"), f.col("weight")
        sums = [*(f.coalesce(f.sum(value), f.lit(0.0)) for value in values), f.count("density"), f.count("*")]
        # Added exactly, for the same bits each time: a float sum depends on which partition arrives first.
        partials = [row[1:] for row in rows.groupBy(f.spark_partition_id()).agg(*sums).collect()]
        total, mass, scored, all_ = (math.fsum(part) for part in zip(*partials, strict=True)) if partials else [0.0] * 4
        if all_ - scored > MOST_UNUSABLE * all_:
            _log.warning("%d of %d held-out rows have no log-density and do not count", all_ - scored, all_)
        if not mass:
            raise DataError(
                "held-out rows", got="none with a log-density", expected="at least one", do="Use fewer folds."
            )
        return total / mass

    def isLargerBetter(self) -> bool:
        """Return True: a higher likelihood is better."""
        return True
