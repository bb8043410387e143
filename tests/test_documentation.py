"""The documents: their links, paths, options and scripts exist; tests/jobs runs their commands."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
from itertools import takewhile
from typing import TYPE_CHECKING, get_args

import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.batch.options.jobs import ScoreConfig
from gmm_spark.batch.options.layers import load_options
from gmm_spark.batch.runtime.status import STATUSES
from gmm_spark.em import diagnosis
from gmm_spark.em.convergence import Outcome
from gmm_spark.em.summary import Summary
from gmm_spark.errors import ConfigurationError
from tests.documents import DOCUMENTS, GUIDES, ROOT, anchors, blocks, links, paths, text
from tests.test_architecture import MAY_IMPORT

if TYPE_CHECKING:
    from gmm_spark.batch.options.jobs import JobConfig

MADE = {"gmm_spark/checkpoint"}  # named in a document, and made by a job
WITHOUT_OPTIONS = {"scripts/conf_files.py", "scripts/option_tables.py", "scripts/schema.py"}
# Runs each script with the words of its command, up to where its own parser has read them.
PARSE = """
import argparse, json, runpy, sys

class Parsed(Exception):
    pass

original = argparse.ArgumentParser.parse_args

def parse_args(self, *given, **named):
    original(self, *given, **named)
    raise Parsed

argparse.ArgumentParser.parse_args = parse_args
for script, *words in json.loads(sys.argv[1]):
    sys.argv = [script, *words]
    sys.path.insert(0, script.rpartition("/")[0])
    try:
        runpy.run_path(script, run_name="__main__")
    except Parsed:
        continue
    except SystemExit:
        pass
    print("not parsed:", script, *words)
"""


def commands(document: str) -> list[list[str]]:
    """Return the commands of a document's bash blocks that start with a program, as words."""
    found = []
    for block in blocks(document):
        if block.language == "bash" and not block.code.startswith("lake="):  # a script, not a list of commands
            lines = block.code.replace("\\\n", " ").splitlines()
            parts = [part for line in lines for part in re.sub(r"(^|\s)#.*", "", line).split(" && ")]
            found += [shlex.split(part) for part in parts]
    return [words for words in found if words]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_have_targets(document: str) -> None:
    """Each link names a file of the repository, and a heading in it."""
    for link in links(document):
        name, _, anchor = link.partition("#")
        if not name.startswith(("http:", "https:")):
            target = (ROOT / document).parent / name if name else ROOT / document
            assert target.exists(), link
            if anchor:
                assert anchor in anchors(str(target.resolve().relative_to(ROOT))), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_paths_exist(document: str) -> None:
    """Each file and folder of the repository in prose or in a command exists."""
    missing = [path for path in paths(document) if path not in MADE and not list(ROOT.glob(path))]
    assert missing == []


def test_the_documents_name_many_paths() -> None:
    """The test above finds paths: the reading order names every package."""
    packages = {path.parent.relative_to(ROOT) for path in (ROOT / "gmm_spark").rglob("__init__.py")}
    named = {path.rstrip("/") for path in paths("gmm_spark/README.md")}
    assert {str(package) for package in packages} - {"gmm_spark"} <= named


@pytest.mark.parametrize("document", ["jobs/README.md", "gmm_spark/README.md"])
def test_tables_of_options_are_those_of_the_definitions(document: str) -> None:
    """Names, defaults and meanings equal what `python scripts/option_tables.py` writes."""
    script = runpy.run_path(str(ROOT / "scripts" / "option_tables.py"))
    assert script["written"](document) == text(document)


def test_every_option_named_in_prose_exists() -> None:
    """`section.option` in backticks is an option of a job; `model.name` may be an attribute of the model instead."""
    script = runpy.run_path(str(ROOT / "scripts" / "option_tables.py"))
    known = {name for config in script["JOBS"].values() for name in script["options"](config)}
    sections = {name.partition(".")[0] for name in known}
    for document in DOCUMENTS:
        named = set(re.findall(r"`(?:--)?([a-z]+\.[a-z_]+)(?:=[^`]*)?`", text(document)))
        named = {name for name in named if name.partition(".")[0] in sections - {"model"} and not name.endswith(".py")}
        assert named <= known, document


@pytest.mark.parametrize("document", GUIDES)
def test_options_of_documented_jobs_exist(document: str) -> None:
    """Each submitted job of a document is in jobs/, and its parser accepts the arguments."""
    jobs = runpy.run_path(str(ROOT / "scripts" / "option_tables.py"))["JOBS"]
    for words in commands(document):
        if words[0] == "scripts/submit.sh":
            (place,) = [i for i, word in enumerate(words) if word.startswith("jobs/")]
            name = words[place].removeprefix("jobs/").removesuffix(".py")
            assert isinstance(parsed(jobs[name], words[place + 1 :]), jobs[name]), words


def parsed(config: type[JobConfig], words: list[str]) -> JobConfig:
    """Return the options of a command line; its configuration file is the repository's."""
    given = [str(ROOT / word) if word.startswith("conf/") else word for word in words if word != "--dry-run"]
    given = [str(ROOT / "conf" / "fit.yaml") if word == "my-fit.yaml" else word for word in given]
    return load_options(config, given, prog="job")


def test_a_wrong_option_would_be_found() -> None:
    """The test above can fail: a misspelt option of a documented job is refused."""
    jobs = runpy.run_path(str(ROOT / "scripts" / "option_tables.py"))["JOBS"]
    with pytest.raises(ConfigurationError, match=r"output\.mod"):
        parsed(jobs["simulate"], ["--model.path=m", "--sample.rows=1", "--output.path=o", "--output.mod=runs"])


def test_documented_scripts_accept_their_arguments() -> None:
    """Each Python script in a document exists, and its parser accepts the arguments there."""
    called = [words for document in GUIDES for words in commands(document) if words[0].endswith("python")]
    scripts = [words[1:] for words in called if not words[1].startswith("jobs/")]
    with_parser = [words for words in scripts if words[0] not in WITHOUT_OPTIONS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PARSE, json.dumps(with_parser)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert len(with_parser) > 5
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("document", GUIDES)
def test_shell_commands_are_programs(document: str) -> None:
    """Each script of the repository that a shell block calls is executable."""
    called = {words[0] for words in commands(document) if words[0].startswith(("scripts/", ".ci/"))}
    assert all(os.access(ROOT / name, os.X_OK) for name in called), called


@pytest.mark.parametrize("document", [*GUIDES, "CONTRIBUTING.md"])
def test_blocks_of_code_are_valid(document: str) -> None:
    """Python blocks compile, shell blocks parse, and every block has a language."""
    for block in blocks(document):
        assert block.language in {"bash", "python", "text"}, block
        if block.language == "python":
            ast.parse(block.code)
        if block.language == "bash":
            subprocess.run(["bash", "-n"], input=block.code, text=True, check=True)  # noqa: S607 - as env finds it


def test_the_readme_is_short() -> None:
    """README.md has at most 150 lines."""
    assert len(text("README.md").splitlines()) <= 150


def table(document: str, head: str) -> list[str]:
    """Return the names in backticks in the first column of the table with this heading."""
    lines = text(document).splitlines()
    (start,) = [i for i, line in enumerate(lines) if line.startswith(f"| {head} |")]
    cells = [line.split("|")[1] for line in takewhile(lambda line: line.startswith("|"), lines[start + 2 :])]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell) or [cell.strip()]]


def test_the_reading_order_is_the_order_of_imports() -> None:
    """gmm_spark/README.md lists all packages in the order of tests/test_architecture.py."""
    named = [path.rstrip("/").removesuffix(".py").replace("/", ".") for path in table("gmm_spark/README.md", "package")]
    read = [name.removeprefix("gmm_spark.") for name in named if name.startswith("gmm_spark.")]
    assert read == list(MAY_IMPORT), "a line per package in that order, in 'How to read the code'"


def test_every_field_of_the_summary_is_explained() -> None:
    """The table of the summary names each field and property."""
    fields = {each.name for each in dataclasses.fields(Summary)} | {"penalizedLogLikelihood"}
    assert sorted(table("gmm_spark/README.md", "field")) == sorted(fields)


def test_every_outcome_and_finding_is_explained() -> None:
    """The tables name each outcome of a fit and each kind of suspicious component."""
    document = text("gmm_spark/README.md")
    assert all(f"`{outcome.value}`" in document for outcome in Outcome)
    tree = ast.parse((ROOT / "gmm_spark" / "em" / "diagnosis.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"]
    literal = {call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)}
    kinds = set(table("gmm_spark/README.md", "kind"))
    assert literal | diagnosis._SOUND <= kinds  # noqa: SLF001 - the kinds that are computed are among them
    assert kinds <= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def test_every_exit_status_is_explained() -> None:
    """jobs/README.md lists all exit statuses of the jobs in order."""
    named = table("jobs/README.md", "status")
    assert named[:-1] == ["0", "1", *map(str, sorted(set(STATUSES.values())))]
    assert named[-1] == ", ".join(str(128 + number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


def test_every_output_mode_is_explained() -> None:
    """jobs/README.md lists every output.mode of a score, which has all modes."""
    field = runpy.run_path(str(ROOT / "scripts" / "option_tables.py"))["options"](ScoreConfig)["output.mode"]
    named = table("jobs/README.md", "`output.mode` | what happens to an existing output")
    assert sorted(named) == sorted(get_args(field.annotation))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_attributes_exist(document: str) -> None:
    """Attributes of a model, its summary or the estimator in a document exist, in prose and in code."""
    fields = {each.name for each in dataclasses.fields(Summary)} | {"penalizedLogLikelihood"}
    for owner, known in (
        ("model", {*dir(GaussianMixtureModel), "path"}),  # model.path is an option of score
        ("mixture", {*dir(GaussianMixture), "k", "family"}),  # and these are options of fit
        ("summary", fields),
    ):
        named = set(re.findall(rf"\b{owner}\.([A-Za-z]\w*)", text(document))) - {"py"}
        assert named <= known, f"{owner} in {document}"


def test_numbers_against_peers_have_their_command_and_date() -> None:
    """Each number of README's comparisons is in scripts/README.md, with command and date."""
    measured = text("scripts/README.md")
    section = text("README.md").partition("## Against its peers")[2].partition("\n## ")[0]
    cells = [cell for line in section.splitlines() if line.startswith("|") for cell in line.split("|")[2:]]
    numbers = [number for cell in cells for number in re.findall(r"\d[\d.]*", cell)]
    assert len(numbers) > 10
    assert [number for number in numbers if not re.search(rf"(?<![\d.]){re.escape(number)}(?![\d])", measured)] == []
    lines = [line for line in text("README.md").splitlines() if line.startswith("| ")]
    failure = [line for line in lines if line.endswith(("1.00 |", "0.99 |"))]
    assert len(failure) == 4
    assert all(line in measured for line in failure)


def test_every_measurement_has_a_command_and_a_date() -> None:
    """Each section of scripts/README.md with a result has a block with its command, and a date."""
    sections = text("scripts/README.md").split("\n## ")[1:]
    for section in sections:
        title = section.partition("\n")[0]
        if title != "Other scripts":
            assert "```bash" in section, title
            assert re.search(r"\b\d{1,2} [A-Z][a-z]+ 20\d\d\b", section), title


def test_answers_to_where_is_it_are_right() -> None:
    """Each function that gmm_spark/README.md names beside a file is defined in that file."""
    lines = text("gmm_spark/README.md").partition("### Where is ...?")[2].splitlines()
    named = [pair for line in lines for pair in re.findall(r"`(gmm_spark/[\w/]+\.py)`, `(\w+)`", line)]
    assert len(named) >= 3
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, file
