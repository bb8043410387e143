"""Saving and loading: exact, careful with what is there, and untrusting."""

from __future__ import annotations

import json
import os
import shutil
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.ml import Pipeline

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.errors import InputError, ModelError, OutputError, ParametersError
from gmm_spark.spark.ml import model_files
from gmm_spark.store.model_directory import read_model
from gmm_spark.store.run_pointer import POINTER, Pointer
from tests.spark.frames import assert_same_bits, clusters, plain_steps, start, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import ArrayLike
    from pyspark.sql import SparkSession


def test_a_model_comes_back_bit_by_bit(spark: SparkSession, tmp_path: Path) -> None:
    """Parameters, summary, params and uid are the same after save and load, and the loaded model scores the same."""
    df = table(spark, features=clusters(100))
    model = plain_steps(df, start("tied"), 2, featuresCol="features", predictionCol="p")
    model.save(f"{tmp_path}/model")
    loaded = GaussianMixtureModel.load(f"{tmp_path}/model")
    assert_same_bits(loaded, model)
    assert loaded.summary == model.summary
    assert (loaded.uid, loaded.features, loaded.parameters.family) == (model.uid, model.features, "tied")
    assert loaded.getOrDefault("predictionCol") == "p"
    assert (
        loaded.transform(df)
        .toArrow()
        .sort_by("log_density")
        .equals(model.transform(df).toArrow().sort_by("log_density"))
    )


@pytest.mark.usefixtures("spark")
def test_a_model_is_read_without_spark(tmp_path: Path) -> None:
    """The directory that Spark wrote is what `read_model` reads."""
    start().save(f"{tmp_path}/model")
    np.testing.assert_array_equal(read_model(tmp_path / "model").parameters.covariances, start().covariances)


@pytest.mark.usefixtures("spark")
def test_a_model_is_found_behind_its_pointer(tmp_path: Path) -> None:
    """Of a folder that keeps its runs, the run that its pointer names is loaded, with Spark and without."""
    start().save(f"{tmp_path}/kept/runs/b")
    pointer = tmp_path / "kept" / POINTER
    pointer.write_text(Pointer("runs/b", ("runs/a", "runs/b")).to_json())
    np.testing.assert_array_equal(GaussianMixtureModel.load(f"{tmp_path}/kept").means, start().means)
    np.testing.assert_array_equal(read_model(tmp_path / "kept").parameters.means, start().means)
    pointer.write_text(pointer.read_text().replace("runs/b", "runs/../../b"))
    with pytest.raises(InputError, match="not a child of runs"):
        GaussianMixtureModel.load(f"{tmp_path}/kept")
    pointer.unlink()
    (tmp_path / "kept" / f".{POINTER}.crc").unlink(missing_ok=True)
    os.mkfifo(pointer)  # opening it waits for ever
    with pytest.raises(InputError, match="pointer"):
        GaussianMixtureModel.load(f"{tmp_path}/kept")


@pytest.mark.usefixtures("spark")
def test_an_estimator_comes_back(tmp_path: Path) -> None:
    """Params that were set and those that were not are the same after save and load."""
    estimator = GaussianMixture(k=4, covarianceType="diag", inputCols=["a", "b"], covarianceFloor=0.0)
    estimator.save(f"{tmp_path}/estimator")
    loaded = GaussianMixture.load(f"{tmp_path}/estimator")
    assert loaded.uid == estimator.uid
    assert {p.name: v for p, v in loaded.extractParamMap().items()} == {
        p.name: v for p, v in estimator.extractParamMap().items()
    }
    assert not loaded.isSet("tol")


@pytest.mark.usefixtures("spark")
def test_an_existing_path_is_not_touched(tmp_path: Path) -> None:
    """Saving onto a model, or onto a folder with anything in it, is refused and changes nothing."""
    start().save(f"{tmp_path}/model")
    foreign = tmp_path / "table"
    foreign.mkdir()
    (foreign / "part-0.csv").write_text("1,2\n")
    for path in (tmp_path / "model", foreign):
        before = sorted(path.rglob("*"))
        with pytest.raises(OutputError, match=path.name):
            start("diag").save(str(path))
        assert sorted(path.rglob("*")) == before


@pytest.mark.usefixtures("spark")
def test_overwrite_replaces_a_model(tmp_path: Path) -> None:
    """write().overwrite() puts the new model in the place of the old one."""
    start().save(f"{tmp_path}/model")
    start("diag").write().overwrite().save(f"{tmp_path}/model")
    assert GaussianMixtureModel.load(f"{tmp_path}/model").parameters.family == "diag"


@pytest.mark.usefixtures("spark")
@pytest.mark.classic_only
def test_overwrite_leaves_nothing_of_another_model(tmp_path: Path) -> None:
    """What a pipeline had saved at the path is gone afterwards, and a link to the folder is still a link."""
    real, link = tmp_path / "real", tmp_path / "model"
    Pipeline(stages=[GaussianMixture(k=2)]).save(str(real))
    (real / "data").mkdir()
    link.symlink_to(real)
    start().write().overwrite().save(str(link))
    assert sorted(each.name for each in real.iterdir()) == ["components", "metadata"]
    assert link.is_symlink()
    np.testing.assert_array_equal(GaussianMixtureModel.load(str(link)).means, start().means)
    GaussianMixture(k=3).write().overwrite().save(str(link))
    assert [each.name for each in real.iterdir()] == ["metadata"]


@pytest.mark.usefixtures("spark")
@pytest.mark.classic_only
@pytest.mark.parametrize("name", ["part-0.csv", "runs"])
def test_overwrite_refuses_what_is_no_model(tmp_path: Path, name: str) -> None:
    """A table, or a folder in which a job keeps its runs, is not replaced by a model or an estimator."""
    (tmp_path / "here" / name).mkdir(parents=True)
    for saved in (start(), GaussianMixture(k=2)):
        with pytest.raises(OutputError, match=name):
            saved.write().overwrite().save(f"{tmp_path}/here")
    assert (tmp_path / "here" / name).exists()


@pytest.mark.usefixtures("spark")
def test_a_model_and_an_estimator_are_not_confused(tmp_path: Path) -> None:
    """Loading one as the other is a ModelError that names the right class."""
    start().save(f"{tmp_path}/model")
    GaussianMixture(k=2).save(f"{tmp_path}/estimator")
    with pytest.raises(ModelError, match=r"GaussianMixtureModel\.load"):
        GaussianMixture.load(f"{tmp_path}/model")
    with pytest.raises(ModelError, match=r"got an estimator.*GaussianMixture\.load"):
        GaussianMixtureModel.load(f"{tmp_path}/estimator")
    with pytest.raises(ModelError, match="nowhere"):
        GaussianMixture.load(f"{tmp_path}/nowhere")
    start().save(f"{tmp_path}/selection/model")
    with pytest.raises(ModelError, match=rf"the output of a selection.* Name {tmp_path}/selection/model"):
        GaussianMixtureModel.load(f"{tmp_path}/selection")


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("overwrite", [True, False])
def test_saves_to_one_path_take_turns(tmp_path: Path, *, overwrite: bool) -> None:
    """Of threads that save to one path the last wins where all overwrite; else the others get an OutputError."""
    path = f"{tmp_path}/model"

    def save(_: int) -> str:
        try:
            (start().write().overwrite() if overwrite else start().write()).save(path)
        except OutputError as error:
            return str(error)
        return ""

    with ThreadPool(4) as pool:
        errors = [each for each in pool.map(save, range(4)) if each]
    assert len(errors) == (0 if overwrite else 3)
    assert all("write().overwrite()" in each for each in errors)
    np.testing.assert_array_equal(GaussianMixtureModel.load(path).means, start().means)


@pytest.mark.classic_only
def test_another_program_at_the_same_path_is_named(spark: SparkSession, tmp_path: Path) -> None:
    """Where another program creates the path meanwhile, the error says so instead of Spark's."""
    path = f"{tmp_path}/model"
    with pytest.raises(OutputError, match="another program"), model_files.saving(spark, path, overwrite=False):  # noqa: PT012
        (tmp_path / "model").mkdir()  # the other program
        spark.range(1).selectExpr("'' AS value").write.text(path)


def part(folder: Path) -> Path:
    """Return the one data file that Spark wrote into a folder."""
    (file,) = folder.glob("part-*")
    return file


def rewrite(file: Path, change: Callable[[str], str]) -> None:
    """Change a file, and forget Hadoop's checksum of it."""
    file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
    file.write_text(change(file.read_text()))


def changed_weight(line: str) -> str:
    """Return a component's line with another weight."""
    return json.dumps({**json.loads(line), "weight": 0.25}) + "\n"


def no_header(line: str) -> str:
    """Return metadata as pyspark.ml writes them for its own models."""
    return json.dumps({k: v for k, v in json.loads(line).items() if k != "gmm_spark"})


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "nothing there": shutil.rmtree,
    "no metadata": lambda model: shutil.rmtree(model / "metadata"),
    "no components": lambda model: shutil.rmtree(model / "components"),
    "empty metadata": lambda model: rewrite(part(model / "metadata"), lambda _: ""),
    "metadata of another program": lambda model: rewrite(part(model / "metadata"), no_header),
    "metadata that are no JSON": lambda model: rewrite(part(model / "metadata"), lambda text: text[: len(text) // 2]),
    "a component missing": lambda model: rewrite(part(model / "components"), lambda text: text.split("\n", 1)[1]),
    "another weight": lambda model: rewrite(
        part(model / "components"), lambda text: changed_weight(text.split("\n", 1)[0]) + text.split("\n", 1)[1]
    ),
    "a flipped byte": lambda model: part(model / "components").write_text(
        part(model / "components").read_text().replace("1", "2", 1)
    ),
}


@pytest.fixture(scope="module")
def saved(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - saving needs it
    """Give a sound model directory; tests damage copies of it."""
    path = tmp_path_factory.mktemp("saved") / "model"
    start().save(str(path))
    return path


@pytest.mark.classic_only
@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_directory_is_refused(saved: Path, tmp_path: Path, damage: str) -> None:
    """Whatever happened to the directory, loading it is a ModelError that names it."""
    copy = tmp_path / "copy"
    shutil.copytree(saved, copy)
    DAMAGES[damage](copy)
    with pytest.raises(ModelError, match=str(copy)):
        GaussianMixtureModel.load(str(copy))


@pytest.mark.parametrize(
    ("weights", "means", "covariances"),
    [
        ([0.5, 0.6], [[0.0], [1.0]], [[[1.0]], [[1.0]]]),
        ([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[-1.0]]]),
        ([0.5, 0.5], [[0.0], [float("nan")]], [[[1.0]], [[1.0]]]),
        ([0.5, 0.5], [[0.0], [1.0, 2.0]], [[[1.0]], [[1.0]]]),
        ([1.0], [[0.0], [1.0]], [[[1.0]], [[1.0]]]),
    ],
    ids=["sum", "negative", "nan", "ragged", "shapes"],
)
def test_arrays_that_are_no_mixture_are_refused(weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> None:
    """fromArrays checks what it is given."""
    with pytest.raises(ParametersError):
        GaussianMixtureModel.fromArrays(weights, means, covariances)


def test_an_aligned_order_is_kept(spark: SparkSession, tmp_path: Path) -> None:
    """Components in the order of another model's are saved and loaded in that order, and scored under those numbers."""
    yesterday = GaussianMixtureModel.fromArrays([0.2, 0.8], [[0.0, 0.0], [9.0, 9.0]], np.stack([np.eye(2)] * 2))
    today = GaussianMixtureModel.fromArrays([0.7, 0.3], [[8.5, 9.0], [0.2, 0.1]], np.stack([np.eye(2)] * 2))
    today.alignedTo(yesterday).write().save(str(tmp_path / "model"))
    loaded = GaussianMixtureModel.load(str(tmp_path / "model"))
    assert loaded.weights.tolist() == [0.3, 0.7]
    assert loaded.means.tolist() == [[0.2, 0.1], [8.5, 9.0]]
    scored = loaded.transform(table(spark, features=np.array([[0.0, 0.0]]))).select("prediction").toArrow()
    assert scored.column(0).to_pylist() == [0]
