"""Checks of scale: a driver whose memory does not grow with the partitions; temporary files that do not pile up.

    scripts/benchmarks/scale.py              # a few minutes; ends with status 1 if one of them fails

1. A fit over 2,000 partitions, each with statistics of its own, whose sum is many times what
   spark.driver.maxResultSize lets through; beside one over 200 partitions: the peak memory of the driver's JVM and
   Python, apart from the executors, which are processes of their own.
2. 200 passes over a small table: the files in Spark's scratch folder after a tenth of the passes and after all.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gmm_spark import GaussianMixtureModel
from gmm_spark.limits import Limits
from gmm_spark.options import Options
from gmm_spark.spark.fit.train import Trained, train
from gmm_spark.spark.table.columns import Features
from gmm_spark.spark.table.names import Names
from gmm_spark.statistics.layouts import feature_count
from scripts.benchmarks import data, harness, sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

D, K, ROWS_PER_PARTITION, LIMIT = 48, 16, 100, "32m"
_MORE_FILES = 5  # after all passes than after a tenth of them, at most


def session(scratch: str) -> SparkSession:
    """Return a session whose driver may receive little."""
    settings = {
        "spark.master": "local-cluster[2,1,1024]", "spark.driver.memory": "512m", "spark.driver.maxResultSize": LIMIT,
        "spark.local.dir": scratch, "spark.sql.shuffle.partitions": "8",
    }  # fmt: skip
    return sessions.session(settings=settings)


def steps(df: DataFrame, model: GaussianMixtureModel, count: int, limits: Limits) -> Trained:
    """Run plain EM steps from a model, within limits."""
    features = Features.of(Names.of(df), features_col="features")
    options = Options(model.parameters.k, max_iter=count, tol=0.0, acceleration="none")
    return train(df, features, None, options, model.parameters, limits=limits)


def check_partitions(partitions: int) -> bool:
    """Fit one step over n partitions, each of them a task with statistics of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        spark, model = session(scratch), GaussianMixtureModel(data.truth(D, K))
        df = model.sample(ROWS_PER_PARTITION * partitions, seed=1, spark=spark).select("features")
        df = df.repartition(partitions, "features").persist()
        with sessions.Memory() as memory:
            timing = sessions.CLOCK.time(lambda: steps(df, model, 1, Limits(least_tasks=partitions)).summary.numRows)
        sent = partitions * K * feature_count(D) * 8 / 2**20
        print(
            f"{partitions} partitions, {sent:.0f} MiB of statistics per pass, at most {LIMIT} of results per job: "
            f"{timing.result} rows in {timing.wall:.0f} s, peaks: {memory}",
            flush=True,
        )
        spark.stop()
    return timing.result == ROWS_PER_PARTITION * partitions


class Files(logging.Handler):
    """Counts the files of the scratch folder after each pass."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self.folder, self.counts = folder, list[int]()

    def emit(self, record: logging.LogRecord) -> None:
        """Count."""
        if record.getMessage().startswith("pass "):
            self.counts.append(sum(path.is_file() for path in self.folder.rglob("*")))


def check_files(passes: int) -> bool:
    """Run n passes over a small table."""
    with tempfile.TemporaryDirectory() as scratch:
        spark, model = session(scratch), GaussianMixtureModel(data.truth(8, 8))
        files, log = Files(Path(scratch)), logging.getLogger("gmm_spark")
        log.addHandler(files)
        log.setLevel(logging.INFO)
        df = model.sample(20_000, seed=1, spark=spark).select("features")
        steps(df, model, passes - 1, Limits(least_filed_bytes=0))
        spark.stop()
    early, late = files.counts[passes // 10 - 1], files.counts[-1]
    print(f"{len(files.counts)} passes: {early} files after {passes // 10}, {late} after the last", flush=True)
    return late <= early + _MORE_FILES


def main(argv: Sequence[str] | None = None) -> int:
    """Run each check in a process of its own, so that its memory is its own; return 1 if one failed."""
    parser = harness.parser(__doc__, {"partitions": [4, 8], "passes": 10})
    parser.add_argument("--partitions", nargs="*", type=int, default=[200, 2000], help="a fit over each number of them")
    parser.add_argument("--passes", type=int, default=200, help="over the small table; 0 for none")
    options = harness.parse_options(parser, argv)
    checks = [f"--partitions={each}" for each in options.partitions], [f"--passes={options.passes}"]
    if len(options.partitions) + bool(options.passes) == 1:
        good = check_partitions(*options.partitions) if options.partitions else check_files(options.passes)
        return 0 if good else 1
    alone = [["--passes=0", each] for each in checks[0]] + [["--partitions", *checks[1]]] * bool(options.passes)
    ended = [subprocess.run([sys.executable, __file__, *each], check=False).returncode for each in alone]  # noqa: S603
    return int(any(ended))


if __name__ == "__main__":
    sys.exit(main())
