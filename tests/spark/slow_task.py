"""Fit rows twice, the second time with a task that takes minutes unless it is copied: MARKER. Writes summaries.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture
from gmm_spark.em.summary import fields_of
from tests.spark import upstream
from tests.spark.frames import names

if __name__ == "__main__":
    spark = SparkSession.builder.getOrCreate()
    rows = spark.range(0, 3000, 1, 4).mapInArrow(upstream.rows, upstream.ROWS_DDL)
    slow = rows.mapInArrow(upstream.sleep_unless_copied(Path(sys.argv[1])), upstream.ROWS_DDL)
    models = [GaussianMixture(k=3, inputCols=names(3), tol=1e-5, starts=4).fit(df) for df in (rows, slow)]
    summaries = [
        {**fields_of(model.summary), "seconds": None, "means": model.means.tolist(), "all": model.covariances.tolist()}
        for model in models
    ]
    Path("summaries.json").write_text(json.dumps(summaries), encoding="utf-8")
