"""Reads and writes model directories through Spark: any filesystem that Spark reaches, classic or Connect."""

from __future__ import annotations

import json
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import AnalysisException, PySparkException
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter
from pyspark.sql import functions as f

from gmm_spark.errors import ModelError, OutputError
from gmm_spark.spark.packages import filesystem_advice, lacks_filesystem
from gmm_spark.spark.session import hadoop, is_connect
from gmm_spark.store import run_pointer as pointers
from gmm_spark.store.model_directory import MOST_METADATA, StoredModel, decode_model, encode_model, header_of, limits
from gmm_spark.store.run_pointer import POINTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.ml.param import Params
    from pyspark.sql import DataFrame, SparkSession

_ESTIMATOR = "gmm_spark.spark.ml.estimator.GaussianMixture"
_SAVING = Lock()
# Folders that gmm_spark writes for a model or estimator, and that pyspark.ml writes for pipelines and models.
_OURS = frozenset({"components", "metadata"})
_SAVED = _OURS | {
    "data",
    "stages",
    "bestModel",
    "subModels",
    "estimator",
    "evaluator",
    "models",
    "trees",
    "treesMetadata",
}
_SIGNS_OF_ANOTHER = ("FileNotFoundException", "FileAlreadyExistsException", "PATH_ALREADY_EXISTS", "Failed to rename")
_LARGEST_INT = 2**31 - 1  # of Java
_LONGEST_LINE = "mapreduce.input.linerecordreader.line.maxlength"


def save(spark: SparkSession, instance: Params, model: StoredModel, path: str, *, overwrite: bool) -> None:
    """Write a model directory; the metadata last, because a directory with metadata counts as complete.

    Raises:
        OutputError: as `saving`.
    """
    mode = "overwrite" if overwrite else "error"
    with saving(spark, path, overwrite=overwrite):
        for folder, lines in directory_lines(spark, instance, model).items():
            # From an Arrow table: for a list of tuples Spark starts Python workers and takes 0.8 s instead of 0.15 s.
            table = pa.table({"value": pa.array(lines, pa.string())})
            spark.createDataFrame(table).coalesce(1).write.mode(mode).text(f"{path}/{folder}")


@contextmanager
def saving(spark: SparkSession, path: str, *, overwrite: bool) -> Iterator[None]:
    """Clear a path for the model or estimator that the code inside writes; one thread of a driver at a time.

    Raises:
        OutputError: the path exists and `overwrite` is off; or pyspark.ml or gmm_spark did not write what is there; or
            another program writes there at the same time.
    """
    with _SAVING:
        if not overwrite:
            _refuse_existing(spark, path)
        elif is_connect(spark):
            _refuse_leftovers(spark, path)
        else:
            _clear(spark, path)
        try:
            yield
        except (PySparkException, Py4JJavaError) as error:
            if not any(sign in str(error) for sign in _SIGNS_OF_ANOTHER):
                raise
            raise OutputError(
                f"model path {path}",
                got="files that another program wrote or removed at the same time",
                expected="one program at a time",
                do="Save again, each program to its own path.",
            ) from error


def directory_lines(spark: SparkSession, instance: Params, model: StoredModel) -> dict[str, list[str]]:
    """Return the lines of each folder of a model directory, in the order to write them: the metadata last."""
    header, components = encode_model(model)
    metadata = DefaultParamsWriter._get_metadata_to_save(instance, spark, {"gmm_spark": header})  # noqa: SLF001
    return {"components": components, "metadata": [metadata]}


def load(spark: SparkSession, path: str) -> tuple[dict[str, object], StoredModel]:
    """Read a model directory; return pyspark.ml's metadata and the model.

    Raises:
        ModelError: no model, a damaged model, or one that gmm_spark did not write.
        InputError: the folder has several runs, and its pointer to the last one is damaged.
    """
    try:
        path = _follow_pointer(spark, path)
        has_metadata = _files_at(spark, f"{path}/metadata") is not None
    except (PySparkException, Py4JJavaError) as error:  # no such filesystem, bucket or host, or no permission
        raise _unreachable(spark, path, error) from error
    if not has_metadata:
        if _files_at(spark, f"{path}/model/metadata") is not None:
            raise _unreadable(path, "the output of a selection, with a model in it", f"Name {path}/model.")
        raise _unreadable(path, f"no {path}/metadata")
    metadata = _read_lines(spark, f"{path}/metadata", path, 1, MOST_METADATA)
    header = header_of(metadata[0], path) if len(metadata) == 1 else None
    if header is None and metadata and json.loads(metadata[0]).get("class") == _ESTIMATOR:
        raise _of_another_kind(path, "an estimator", "a model", "GaussianMixture.load")
    model = decode_model(header, _read_lines(spark, f"{path}/components", path, *limits(header, path)), path)
    return json.loads(metadata[0]), model


def estimator_metadata(spark: SparkSession, path: str) -> dict[str, Any]:
    """Read pyspark.ml's metadata of an estimator.

    Raises:
        ModelError: no readable metadata, or those of something else.
    """
    try:
        metadata: dict[str, Any] = DefaultParamsReader.loadMetadata(path, spark)
        kind = str(metadata["class"])
    except (PySparkException, Py4JJavaError, TypeError, ValueError, KeyError) as error:  # TypeError: an empty file
        raise ModelError(
            f"estimator directory {path}",
            got=f"no readable metadata ({type(error).__name__})",
            expected="a directory that an estimator's save wrote",
            do="Check the path; restore it from a copy if it is damaged.",
        ) from error
    if "gmm_spark" in metadata:
        raise _of_another_kind(path, "a model", "an estimator", "GaussianMixtureModel.load")
    if kind.startswith(("pyspark.", "org.apache.spark.")):
        raise _of_another_kind(path, f"a {kind}", "an estimator of gmm_spark", f"{kind.rsplit('.', 1)[-1]}.load")
    return metadata


def _of_another_kind(path: str, got: str, expected: str, loader: str) -> ModelError:
    return ModelError(f"directory {path}", got=got, expected=expected, do=f"Load it with {loader}.")


def _refuse_existing(spark: SparkSession, path: str) -> None:
    """Refuse a path that exists."""
    if _files_at(spark, path) is not None:
        raise OutputError(
            f"model path {path}", got="a path that exists", expected="a free path", do="Use write().overwrite()."
        )


def _clear(spark: SparkSession, path: str) -> None:
    """Delete all that pyspark.ml or gmm_spark saved at a path, because a new model may have other folders."""
    fs, configuration = hadoop(spark)
    folder = fs.Path(path)
    files = folder.getFileSystem(configuration)
    if not files.exists(folder):
        return
    names = {status.getPath().getName() for status in files.listStatus(folder)}
    if not (names <= _OURS or (names & {"metadata"} and names <= _SAVED)):
        raise _foreign(path, f"a folder with {', '.join(sorted(names)[:5])}")
    for name in names:  # not the folder itself, which may be a link
        files.delete(fs.Path(folder, name), True)  # noqa: FBT003 - Java has no keywords


def _refuse_leftovers(spark: SparkSession, path: str) -> None:
    """Refuse a path with folders of another model, which Spark Connect can't delete."""
    others = [name for name in sorted(_SAVED - _OURS) if _files_at(spark, f"{path}/{name}") is not None]
    if others:
        raise _foreign(path, f"a folder with {', '.join(others)}, which Spark Connect can't delete")


def _foreign(path: str, got: str) -> OutputError:
    return OutputError(
        f"model path {path}",
        got=got,
        expected="a free path, or a model to replace",
        do="Save to another path, or remove what is there.",
    )


def _follow_pointer(spark: SparkSession, path: str) -> str:
    """Return the run folder that a folder points to; the folder itself if it has no pointer."""
    pointer = f"{path}/{POINTER}"
    files = _files_at(spark, pointer)
    if files is None:
        return path
    # Spark does not open a file that this condition excludes, such as a pipe, whose length is 0.
    row = files.where(f.col("length").between(1, pointers.MOST_CHARACTERS)).select("content").first()
    text = bytes(row[0]).decode("utf-8", errors="replace") if row else ""
    return f"{path}/{pointers.decode_pointer(text, pointer).folder}"


def _files_at(spark: SparkSession, path: str) -> DataFrame | None:
    """Return the files at a path; None if it does not exist.

    This needs no job, and no Hadoop API, which Connect lacks. The same path twice, because Spark logs a long stack
    trace where a single path does not exist.
    """
    try:
        table = spark.read.format("binaryFile").load([path, path])
        table.schema  # noqa: B018 - Connect resolves the path here
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return None
    return table


def _read_lines(spark: SparkSession, folder: str, path: str, most: int, characters: int) -> list[str]:
    """Return the lines of a folder: at most `most` + 1, without lines of more than `characters`."""
    try:
        # Spark's reader cuts longer lines at this length.
        longest = min(characters + 2, _LARGEST_INT)
        reader = spark.read.option(_LONGEST_LINE, longest)
        lines = reader.text(folder).where(f.length("value") <= characters).limit(most + 1)
        return [row[0] for row in lines.collect()]
    except (PySparkException, Py4JJavaError) as error:  # no folder, or a wrong Hadoop checksum
        raise _unreadable(path, f"no readable {folder}") from error


def _unreadable(
    path: str, got: str, do: str = "Check the path; restore it from a copy if it is damaged."
) -> ModelError:
    return ModelError(f"model directory {path}", got=got, expected="a directory of a saved model", do=do)


def _unreachable(spark: SparkSession, path: str, error: PySparkException | Py4JJavaError) -> ModelError:
    text = str(error.java_exception.toString() if isinstance(error, Py4JJavaError) else error)
    if lacks_filesystem(text):
        return _unreadable(path, text.partition("\n")[0], filesystem_advice(spark, path))
    return _unreadable(path, text.partition("\n")[0], "Check the path, its bucket or host, and the permission to read.")
