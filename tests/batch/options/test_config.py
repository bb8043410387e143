"""The options of the jobs: layers, checks, and errors that name the option and the remedy. No Spark."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest
import yaml

from gmm_spark.batch.options.jobs import FitConfig, JobConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.options.layers import load_options
from gmm_spark.batch.options.mistakes import ConfigurationMistakesError, options
from gmm_spark.batch.options.yaml_file import read_file
from gmm_spark.batch.runtime.status import STATUSES, run_job, status_of
from gmm_spark.errors import ConfigurationError, GmmSparkError
from gmm_spark.mixture.parameters import FAMILIES

ROOT = Path(__file__).parents[3]
FIT = ["--input.path=in", "--features.columns=a,b", "--output.path=out"]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GMM_SPARK_")]:
        monkeypatch.delenv(name)


def fit(*words: str) -> FitConfig:
    """Return the options of a fit."""
    return load_options(FitConfig, [*FIT, *words], prog="fit.py")


def mistake(*words: str, job: type[JobConfig] = FitConfig) -> str:
    """Return the error about a wrong configuration."""
    with pytest.raises(ConfigurationError) as caught:
        load_options(job, words, prog="job")
    return str(caught.value)


def test_command_line_wins_over_environment_over_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer replaces only the options that it names."""
    file = tmp_path / "fit.yaml"
    file.write_text("mixture: {k: 3, family: diag}\nfit: {seed: 1, starts: 5, max_iter: 7}\n")
    monkeypatch.setenv("GMM_SPARK_FIT__SEED", "2")
    monkeypatch.setenv("GMM_SPARK_FIT__STARTS", "6")
    config = fit("--config", str(file), "--fit.seed=9")
    assert (config.fit.seed, config.fit.starts, config.fit.max_iter, config.fit.tol) == (9, 6, 7, 1e-4)
    assert (config.mixture.k, config.mixture.family) == (3, "diag")


@pytest.mark.parametrize("text", ["a,b", "a, b", '["a", "b"]', '["a","b"]'])
def test_lists_are_written_with_commas_or_as_json(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list means the same in both notations, on the command line and in the environment."""
    rest = ["--input.path=in", "--output.path=out"]
    assert load_options(FitConfig, [*rest, f"--features.columns={text}"], prog="fit.py").features.columns == ("a", "b")
    monkeypatch.setenv("GMM_SPARK_FEATURES__COLUMNS", text)
    assert load_options(FitConfig, rest, prog="fit.py").features.columns == ("a", "b")


def test_maps_null_and_the_word_all_are_understood() -> None:
    """Reader options are given as name=value or JSON, null unsets an option, and output.keep accepts the word all."""
    assert fit("--input.options", "header=true", "--input.options", "sep=;").input.options == {
        "header": "true",
        "sep": ";",
    }
    assert fit('--input.options={"header": true}').input.options == {"header": True}
    assert fit("--input.path=null", "--input.table=lake.t").input.path is None
    score = ["--input.path=i", "--model.path=m", "--output.path=o"]
    assert load_options(ScoreConfig, [*score, "--output.keep=all"], prog="s").output.keep == "all"
    assert load_options(ScoreConfig, [*score, "--output.keep=id"], prog="s").output.keep == ("id",)
    assert load_options(ScoreConfig, [*score, "--output.partition_by=[]"], prog="s").output.partition_by == ()


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        ([r'--features.columns=["r\u00e9gion", "b"]'], ("région", "b")),
        ([r'--features.columns=["a, b", "say \"c\"", "d\\e"]'], ("a, b", 'say "c"', "d\\e")),
        (["--features.columns", '["a"]', "--features.columns=b,c"], ("a", "b", "c")),
        (["--features.columns=[a, b]"], ("a", "b")),
        (["--features.columns=a", "--features.columns=b"], ("a", "b")),
    ],
)
def test_lists_on_the_command_line_are_json_or_words(words: list[str], columns: tuple[str, ...]) -> None:
    """JSON with escapes is decoded as in a file and the environment; an option given several times is one list."""
    assert load_options(FitConfig, ["--input.path=i", "--output.path=o", *words], prog="f").features.columns == columns


def test_single_options_of_the_reader_come_from_every_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry of a map can be set alone, and the later layer wins, also if the case of its letters differs."""
    file = tmp_path / "fit.yaml"
    file.write_text("input: {options: {versionAsOf: 1, header: 'false', sep: ';'}}")
    monkeypatch.setenv("GMM_SPARK_INPUT__OPTIONS__VERSIONASOF", "2")
    monkeypatch.setenv("GMM_SPARK_INPUT__OPTIONS__HEADER", "false")
    words = ["--input.options.header=true", "--input.options.a.b", "x=y,z", '--input.options={"c": "1"}']
    found = fit("--config", str(file), *words).input.options
    assert found == {"versionasof": "2", "header": "true", "sep": ";", "a.b": "x=y,z", "c": "1"}
    assert "input.option.header" in mistake(*FIT, "--input.option.header=true")


@pytest.mark.parametrize(
    ("word", "closest"),
    [
        ("--input.pth=x", "input.path"),
        ("--k=3", "mixture.k"),
        ("--mixtur.k=3", "mixture.k"),
        ("--fit.maxIter=3", "fit.max_iter"),
        ("--fit.covariance-floor=0", "fit.covariance_floor"),
        ("--output.mod=create", "output.mode"),
    ],
)
def test_unknown_options_name_the_closest(word: str, closest: str) -> None:
    """The error about an unknown option names the most similar one."""
    message = mistake(*FIT, word)
    assert f"perhaps {closest}." in message
    assert word[2:].partition("=")[0] in message


def test_unknown_options_are_found_in_every_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error about a misspelt option in the file or the environment names the layer."""
    file = tmp_path / "fit.yaml"
    file.write_text("mixture: {famly: diag}\n")
    monkeypatch.setenv("GMM_SPARK_FIT__SED", "2")
    message = mistake(*FIT, "--config", str(file))
    assert f"mixture.famly ({file})" in message
    assert "perhaps mixture.family" in message
    assert "fit.sed (environment)" in message
    assert "perhaps fit.seed" in message


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("GMM_SPARK_MIXTUR__K", "mixture.k"),
        ("gmm_spark_mixtur__k", "mixture.k"),
        ("GMM_SPARK_MIXTURE_K", "mixture.k"),
        ("GMM_SPARK_OUTPTU__MODE", "output.mode"),
    ],
)
def test_a_misspelt_section_in_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, closest: str
) -> None:
    """A variable that looks like an option but has no effect is reported with the closest option."""
    monkeypatch.setenv(name, "3")
    message = mistake(*FIT, "--fit.tol=-1")
    assert f"{name} (environment): got an option that does not exist; expected perhaps {closest}." in message
    assert "fit.tol" in message
    assert name in mistake(*FIT)


def test_other_variables_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Jobs may share an environment, and a file may refer to a variable of any name."""
    file = tmp_path / "fit.yaml"
    file.write_text("mixture: {k: '${env:GMM_SPARK_MIXTURE_K}'}\n")
    for name in ("GMM_SPARK_GRID__K", "GMM_SPARK_DATA", "GMM_SPARK_MIXTURE_K", "GMM_SPARK_HOME"):
        monkeypatch.setenv(name, "3")
    assert load_options(FitConfig, [*FIT, "--config", str(file)], prog="fit.py").mixture.k == 3


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("Mixture: {k: 7}", "Mixture.k", "perhaps mixture.k"),
        ("MIXTURE: {k: 7}\nmixture: {k: 3}", "MIXTURE.k", "perhaps mixture.k"),
        ("mixture.k: 7", "mixture.k", "mixture: {k: ...}"),
        ("mixture: {k: yes}", "mixture.k", "a number"),
        ("fit: {tol: on}", "fit.tol", "a number"),
        ("fit: {min_component_weight: off}", "fit.min_component_weight", "a number"),
        ("quality: {max_invalid_fraction: no}", "quality.max_invalid_fraction", "a number"),
        ("run: {id: 20240101}", "run.id", "between quotes"),
    ],
)
def test_values_that_yaml_reads_in_another_type_are_refused(
    tmp_path: Path, text: str, name: str, expected: str
) -> None:
    """Refused are sections in capitals, dotted keys, words that YAML reads as booleans, and numbers as text."""
    file = tmp_path / "fit.yaml"
    file.write_text(text)
    message = mistake(*FIT, "--config", str(file))
    assert name in message
    assert expected in message


def test_all_mistakes_are_reported_together() -> None:
    """Missing, unknown and wrong options are in one error, each with its remedy."""
    with pytest.raises(ConfigurationMistakesError) as caught:
        load_options(FitConfig, ["--mixture.k=0", "--fit.sed=1", "--input.path=x"], prog="fit.py")
    keys = [error.what.split()[0] for error in caught.value.mistakes]
    assert sorted(keys) == ["features", "fit.sed", "mixture.k", "output.path"]
    assert "4 mistakes" in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [["word"], ["--output.mode"], ["--fit.seed=1", "word"], ["--input.options={a"], ["--features.columns=[a"]],
)
def test_command_lines_that_cannot_be_parsed_are_refused(words: list[str]) -> None:
    """A word without option, an option without value and broken JSON are configuration errors."""
    assert "expected" in mistake(*FIT, *words)


def test_values_of_reader_options_are_not_repeated_in_errors() -> None:
    """A password among the reader's options does not reach the log."""
    assert "s3cret" not in mistake('--input.options={"password": "s3cret"}', "--output.path=o")


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, "No such file"), ("a: b: c", "mapping values"), ("[1]", "a list"), ("fit: 5", "a section with options")],
)
def test_unusable_files_are_refused(tmp_path: Path, text: str | None, expected: str) -> None:
    """The error about a file that is missing, is no YAML or has no sections says which of these it is."""
    file = tmp_path / "fit.yaml"
    if text is not None:
        file.write_text(text)
    message = mistake(*FIT, "--config", str(file))
    assert str(file) in message
    assert expected in message


def test_references_are_replaced_from_the_environment(tmp_path: Path) -> None:
    """A reference is replaced as text within any string, and an unset variable is an error with its name."""
    file = tmp_path / "fit.yaml"
    file.write_text('input: {path: "${env:LAKE}/t", options: {key: "${env:KEY}"}}\nmixture: {k: "${env:K}"}\n')
    read = read_file(str(file), {"LAKE": "s3a://lake", "KEY": "a: b", "K": "3"})
    assert read.tree == {"input": {"path": "s3a://lake/t", "options": {"key": "a: b"}}, "mixture": {"k": "3"}}
    with pytest.raises(ConfigurationError, match=r"LAKE to be set"):
        read_file(str(file), {})


JOBS = [(FitConfig, "fit"), (ScoreConfig, "score"), (SelectConfig, "select"), (SimulateConfig, "simulate")]


@pytest.mark.parametrize("job", [job for job, _ in JOBS])
def test_every_option_has_a_help(job: type[JobConfig]) -> None:
    """Every option has a text for --help."""
    assert all(field.description for field in options(job).values())


@pytest.mark.parametrize("name", ["fit", "score", "select", "simulate"])
def test_example_files_are_written_from_the_options(name: str) -> None:
    """The files equal what `python scripts/conf_files.py` writes from the definitions."""
    text = runpy.run_path(str(ROOT / "scripts" / "conf_files.py"))["text"](name)
    assert (ROOT / "conf" / f"{name}.yaml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("job", "name"), JOBS)
def test_example_files_hold_every_option_with_its_default(job: type[JobConfig], name: str) -> None:
    """The files in conf/ contain all options of their jobs with the defaults."""
    file = ROOT / "conf" / f"{name}.yaml"
    load_options(job, ["--config", str(file)], prog=name)
    text, tree = file.read_text(), yaml.safe_load(file.read_text())
    for key, field in options(job).items():
        section, _, option = key.partition(".")
        assert f"{option}:" in text, key
        if option in tree[section] and not field.is_required() and option not in ("path", "columns"):
            default = field.get_default(call_default_factory=True)
            assert tree[section][option] == (list(default) if isinstance(default, tuple) else default), key


@pytest.mark.parametrize("text", ["2-4,8", "2,3,4,8", "[2, 3, 4, 8]", '["2-4", 8]', "2-3,3-4,8"])
def test_numbers_of_components_are_ranges_and_lists(text: str, tmp_path: Path) -> None:
    """grid.k accepts the same notations on the command line and in a file."""
    rest = ["--input.path=in", "--features.columns=a", "--output.path=out"]
    config = load_options(SelectConfig, [*rest, f"--grid.k={text}", "--grid.families=all"], prog="select_model.py")
    assert config.grid.k == (2, 3, 4, 8)
    assert config.grid.families == FAMILIES
    (tmp_path / "s.yaml").write_text(f"grid: {{k: {text if text[0] == '[' else repr(text)}, families: full}}")
    config = load_options(SelectConfig, [*rest, "--config", str(tmp_path / "s.yaml")], prog="select_model.py")
    assert (config.grid.k, config.grid.families) == ((2, 3, 4, 8), ("full",))


@pytest.mark.parametrize("name", ["demo-fit", "demo-score"])
def test_demo_files_are_valid(name: str) -> None:
    """The files of the demo are valid options of their jobs."""
    job = FitConfig if name.endswith("fit") else ScoreConfig
    config = load_options(job, ["--config", str(ROOT / "conf" / f"{name}.yaml")], prog=name)
    assert config.model_dump()["output"]["path"].startswith("demo-output/")


def test_help_prints_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """--help lists each option with its default, and the job returns normally."""
    run_job("fit", lambda argv: str(load_options(FitConfig, argv, prog="fit.py")), ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"--{key}" in text for key in options(FitConfig))
    assert "Number of components. (default: 2)" in text


def test_every_kind_of_error_has_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind of error has its exit status, an unexpected error has 1, and success none."""
    assert len(set(STATUSES.values())) == 7
    for kind, status in STATUSES.items():
        assert status_of(kind("it", got="a", expected="b", do="Do c.")) == status
    assert status_of(GmmSparkError("it", got="a", expected="b", do="Do c.")) == 1
    with pytest.raises(SystemExit) as caught:
        run_job("fit", lambda _: str(1 // 0), [])
    assert caught.value.code == 1
    run_job("fit", lambda _: "done", [])
    assert capsys.readouterr().out == "done\n"


def test_the_kubernetes_example_gives_options_that_exist() -> None:
    """The arguments in conf/kubernetes.yaml are valid options of its job."""
    spec = yaml.safe_load((ROOT / "conf" / "kubernetes.yaml").read_text())["spec"]["template"]
    assert spec["mainApplicationFile"].endswith("jobs/score.py")
    config = load_options(ScoreConfig, spec["arguments"], prog="score.py")
    assert (config.output.mode, config.logs.format) == ("runs", "json")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mixture: {k: 2, k: 3}", "the key 'k' twice"),
        ("a: &a {k: 2}\nmixture: *a", "an alias"),
        ("mixture: " + "[" * 100 + "]" * 100, "levels of values"),
        ("mixture: " + "[" * 5000, "recursion"),
        ("mixture: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("#" * 200_000, "more than 131072 bytes"),
        ("mixture: {k: \x00}", "special characters"),
    ],
)
def test_a_dangerous_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """The error about repeated keys, aliases, deep nesting, foreign types and huge files says which it is."""
    file = tmp_path / "fit.yaml"
    file.write_text(text)
    assert reason in mistake(*FIT, "--config", str(file))


def test_a_file_may_be_named_by_uri(tmp_path: Path) -> None:
    """file:///... is read as a local file, without Spark."""
    file = tmp_path / "a fit.yaml"
    file.write_text("mixture: {k: 7}")
    assert fit("--config", file.as_uri()).mixture.k == 7
