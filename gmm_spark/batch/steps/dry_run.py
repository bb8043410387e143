"""What a job would do and cost, from options, schema and file footers, without reading a row.

Only Spark's inference of a Parquet schema starts a Spark job: it reads one footer.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import yaml
from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]

from gmm_spark.batch.files import snapshot
from gmm_spark.batch.files.locate import locate
from gmm_spark.batch.options.jobs import FitConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.options.mistakes import key_of
from gmm_spark.batch.options.redaction import redacted_options
from gmm_spark.batch.publish import modes, target
from gmm_spark.batch.runtime.advice import add_advice
from gmm_spark.batch.steps import estimate, facts, input_table, quality, scored_table
from gmm_spark.errors import options_called
from gmm_spark.search.sample_size import sample_rows
from gmm_spark.spark.blocks.expectation import driver_bytes
from gmm_spark.spark.ml.model import GaussianMixtureModel
from gmm_spark.spark.session import hadoop, jvm
from gmm_spark.spark.table.columns import Features, weight_column
from gmm_spark.spark.table.names import Names
from gmm_spark.statistics import layouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.batch.files.locate import Location, Source
    from gmm_spark.batch.files.snapshot import FileState
    from gmm_spark.batch.options.jobs import EstimatingConfig, JobConfig
    from gmm_spark.batch.options.sections import InputConfig, OutputConfig
    from gmm_spark.mixture.parameters import Family

# On an object store each footer needs a request: of more files, this number is read and the rest is extrapolated.
_MOST_FOOTERS = 50
# Survey, packing, and the pass that measures the start.
_LEAST_PASSES, _OTHER_PASSES = 3, 3


def plan(spark: SparkSession, config: FitConfig | SelectConfig | ScoreConfig | SimulateConfig) -> str:
    """Return what a job would do as YAML, or refuse it as the job itself would.

    Raises:
        GmmSparkError: input, columns, model or output are not what the job needs.
    """
    with options_called(partial(key_of, type(config))):
        if isinstance(config, FitConfig):
            return _of_fit(spark, config)
        if isinstance(config, SelectConfig):
            return _of_select(spark, config)
        return _of_score(spark, config) if isinstance(config, ScoreConfig) else _of_simulate(spark, config)


def _of_fit(spark: SparkSession, config: FitConfig) -> str:
    estimate.check_earlier_models(spark, config, locate(spark, config.output.path))
    with add_advice(config.input):
        return _fits(spark, config, "fit", [(config.mixture.k, config.mixture.family)])


def _of_select(spark: SparkSession, config: SelectConfig) -> str:
    with add_advice(config.input):
        return _fits(spark, config, "select", list(product(config.grid.k, config.grid.families)))


def _of_score(spark: SparkSession, config: ScoreConfig) -> str:
    output = _checked(spark, config.output, input_table.sources(spark, config))
    model = GaussianMixtureModel.load(config.model.path)
    rows = input_table.read(spark, config.input)
    with add_advice(config.input):
        passing = scored_table.passing_columns(rows, config, output, modes.mode_of(config.output))
        scored = scored_table.score_rows(rows, model, passing, config.output)
    read = _input(rows, config.input)
    cost: dict[str, Any] = {"passes": 1}
    if isinstance(count := read["rows"], int):
        width = 4 if config.output.probability == "float" else 8
        # One triangular product per component: d^2 flops. Written are posteriors, log-density and prediction.
        cost["flops"] = count * model.parameters.k * model.parameters.d**2
        cost["posterior_bytes"] = count * (width * model.parameters.k + 12)
    features = {"columns": list(model.features), "components": model.parameters.k}
    written = {"schema": scored.schema.simpleString(), "partition_by": list(passing.partition_by)}
    return _document(config, "score", input=read, features=features, output=written, cost=cost)


def _of_simulate(spark: SparkSession, config: SimulateConfig) -> str:
    _checked(spark, config.output, input_table.sources(spark, config))
    model = GaussianMixtureModel.load(config.model.path)
    features = {"columns": list(model.features), "components": model.parameters.k}
    return _document(config, "simulate", features=features, cost={"bytes": 8 * config.sample.rows * model.parameters.d})


def _checked(spark: SparkSession, output: OutputConfig, inputs: Iterable[Source]) -> Location:
    return target.check_output(locate(spark, output.path), modes.mode_of(output), inputs)


def _document(config: JobConfig, job: str, **parts: Any) -> str:  # noqa: ANN401 - JSON values
    tree = {"job": job, "configuration": redacted_options(config), **parts}
    return yaml.safe_dump(tree, sort_keys=False, width=120).rstrip()


def _input(rows: DataFrame, config: InputConfig) -> dict[str, Any]:
    listed = snapshot.take_snapshot(rows)
    files = None if listed is None else listed.files
    described = facts.input_facts(rows, config, files)
    count = None if files is None else _rows(rows, files)
    return {
        "name": described.name,
        "schema": described.schema_,
        "files": described.files,
        "bytes": described.bytes,
        "rows": "unknown: only Parquet files have the number" if count is None else count,
        "at_most": config.where is not None,
        "partitions": rows.rdd.getNumPartitions(),
    }


def _rows(rows: DataFrame, files: Mapping[str, FileState]) -> int | None:
    """Return the number of rows by the footers of Parquet files, all or a part of them; None for other formats."""
    if not files:
        return 0
    step = -(-len(files) // _MOST_FOOTERS)
    paths = list(files)[::step]
    try:
        counts = [_footer(rows.sparkSession, path) for path in paths]
    except (Py4JJavaError, Py4JError):  # another format, or a damaged file, which the job itself reports
        return None
    size = sum(files[path].size for path in paths)
    return round(sum(counts) * sum(file.size for file in files.values()) / max(size, 1)) if step > 1 else sum(counts)


def _footer(spark: SparkSession, path: str) -> int:
    (fs, configuration), parquet = hadoop(spark), jvm(spark).org.apache.parquet.hadoop
    reader = parquet.ParquetFileReader.open(parquet.util.HadoopInputFile.fromPath(fs.Path(path), configuration))
    try:
        return int(reader.getRecordCount())
    finally:
        reader.close()


def _fits(spark: SparkSession, config: EstimatingConfig, job: str, mixtures: list[tuple[int, Family]]) -> str:
    """Return the document of a job that fits mixtures (k, family) in shared passes."""
    inputs = input_table.locations(spark, config.input)
    location = _checked(spark, config.output, inputs)
    rows = input_table.read(spark, config.input)
    if config.quality.quarantine_path is not None:
        quality.check_quarantine(rows, config.quality.quarantine_path, [*inputs, location])
    options = config.features
    columns = Features.of(Names.of(rows), input_cols=options.columns, features_col=options.column)
    if options.weight is not None:
        weight_column(Names.of(rows), options.weight)
    d = columns.size
    read = _input(rows, config.input)
    features = {"columns": list(columns.columns), "kind": columns.kind, "count": d or "known once a row is read"}
    cost: dict[str, Any] = {"passes": f"{_LEAST_PASSES} to {config.fit.max_iter + _OTHER_PASSES}"}
    if d is not None:
        cost |= cost_of(spark, read, d, mixtures, config.fit.tol)
    return _document(config, job, input=read, features=features, cost=cost)


def cost_of(
    spark: SparkSession, read: dict[str, Any], d: int, mixtures: list[tuple[int, Family]], tol: float
) -> dict[str, Any]:
    """Return the cost of a fit of mixtures to d features, in bytes and floating-point operations.

    Args:
        spark: the session, which limits the size of results.
        read: the input's `partitions` and `rows`.
        d: the number of features.
        mixtures: the number of components and the family of each mixture.
        tol: the tolerance of the fit, in nats per row.
    """
    partitions = read["partitions"]
    statistics = sum(layouts.statistics_bytes(k, d, family) for k, family in mixtures)
    sample = 8 * d * max(sample_rows(family, k, d, tol) for k, family in mixtures)
    cost = {
        "statistics_bytes": statistics,
        "bytes_to_driver_per_pass": partitions * statistics,
        # Sample and its copies, a few candidates, and partial statistics: if these exceed the limit, tasks add them.
        "driver_bytes": 4 * sample + 8 * statistics + min(partitions * statistics, driver_bytes(spark)),
    }
    if isinstance(count := read["rows"], int):
        cost |= {"kept_bytes": 8 * d * count, "flops_per_pass": count * 4 * statistics // 8}
    return cost
