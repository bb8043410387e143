"""Which package to add where Spark does not know a filesystem or a format."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gmm_spark.spark.session import jvm

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_HADOOP = {
    "s3a": "hadoop-aws",
    **dict.fromkeys(("abfs", "abfss", "wasb", "wasbs"), "hadoop-azure"),
    "oss": "hadoop-aliyun",
    "cosn": "hadoop-cos",
    "obs": "hadoop-huaweicloud",
}
_RUNTIMES = {
    "delta": "io.delta:delta-spark_{spark}_2.13:VERSION",
    "iceberg": "org.apache.iceberg:iceberg-spark-runtime-{spark}_2.13:VERSION",
    "hudi": "org.apache.hudi:hudi-spark{spark}-bundle_2.13:VERSION",
    "avro": "org.apache.spark:spark-avro_2.13:{full}",
}
_UNKNOWN_FILESYSTEM = re.compile(r'No FileSystem for scheme "?(\w+)|Class \S+FileSystem not found')
_UNKNOWN_FORMAT = re.compile(r"DATA_SOURCE_NOT_FOUND|Failed to find (the )?data source")


def lacks_filesystem(complaint: str) -> bool:
    """Return whether an error text says that Spark knows no filesystem for a scheme."""
    return _UNKNOWN_FILESYSTEM.search(complaint) is not None


def lacks_format(complaint: str) -> bool:
    """Return whether an error text says that Spark knows no format of a name."""
    return _UNKNOWN_FORMAT.search(complaint) is not None


def filesystem_advice(spark: SparkSession, path: str) -> str:
    """Return what to do where Spark knows no filesystem for a path."""
    scheme = path.partition(":")[0].lower()
    if scheme in {"s3", "s3n"}:
        return "Write s3a:// for it."
    if scheme == "gs":
        return "Give Spark Google's connector: --packages com.google.cloud.bigdataoss:gcs-connector:VERSION."
    if scheme in _HADOOP:
        return f"Give Spark its package: --packages org.apache.hadoop:{_HADOOP[scheme]}:{_hadoop_version(spark)}."
    return "Correct the path, or give Spark the package of that filesystem by --packages."


def format_advice(spark: SparkSession, name: str) -> str:
    """Return what to do where Spark knows no format of this name."""
    package = _RUNTIMES.get(name.lower())
    if package is None:
        return "Correct input.format, or give Spark the package of that format by --packages."
    version = package.format(spark=".".join(spark.version.split(".")[:2]), full=spark.version)
    return f"Give Spark its package: --packages {version}."


def _hadoop_version(spark: SparkSession) -> str:
    java = jvm(spark)
    return "VERSION" if java is None else str(java.org.apache.hadoop.util.VersionInfo.getVersion())
