"""The commands and the Python of the documents, run as they are printed there; and what they print.

A shell runs the blocks with programs that only write down what they are called with; one application then runs those
jobs, and the Python blocks. Benchmarks and jobs for a cluster are not run: tests/test_documentation.py lets their
options be read. The recipe of jobs/README.md is run in test_nightly.py.
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest

from tests.documents import ROOT, Block, blocks, shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(600)

RUN = ("README.md", "jobs/README.md", "gmm_spark/README.md")
RECORDER = '#!/bin/sh\nfor word in "$0" "$@"; do printf "%s\\0" "$word"; done >> called\nprintf "\\n" >> called\n'


@dataclass(frozen=True)
class Printed:
    """What the blocks of the documents printed.

    Args:
        folder: where they ran.
        results: how each command ended, by the block's place and the command's.
    """

    folder: Path
    results: Mapping[str, Any]

    def shapes(self, place: str) -> set[str]:
        """Return the lines that a block printed, without numbers and column widths."""
        found = [each for name, each in self.results.items() if name.startswith(f"{place} ")]
        return {shape(line) for each in found for line in (each["out"] + each["err"]).splitlines()}


def test_the_commands_of_the_documents_succeed(printed: Printed) -> None:
    """Each job and each Python block of a document runs as printed there, in that order."""
    failed = {name: each["err"][-2000:] for name, each in printed.results.items() if each["status"]}
    assert failed == {}
    assert {name.partition(" ")[0] for name in printed.results} == set(RUN)


def test_the_documents_show_what_is_printed(printed: Printed) -> None:
    """Each line of output in a document is printed by the block before it, except for its numbers."""
    checked = 0
    for document in RUN:
        place = ""
        for i, block in enumerate(blocks(document)):
            if block.language != "text":
                place = f"{document} {i}"
            elif shown := printed.shapes(place):  # the demo is not run here, see below
                missing = [line for line in block.code.splitlines() if shape(line) not in shown]
                assert missing == [], place
                checked += 1
    assert checked >= 2


def test_the_scored_table_is_as_described(printed: Printed) -> None:
    """The columns of README's table: those of the input, then prediction, probability, log_density and status."""
    scored = pds.dataset(printed.folder / "data" / "flights-scored", partitioning="hive")
    added = ["prediction", "probability", "log_density", "status"]
    assert [name for name in scored.schema.names if name != "month"][-4:] == added
    assert scored.count_rows() == pds.dataset(printed.folder / "demo-output" / "flights").count_rows()


@pytest.mark.slow
def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """scripts/demo.sh succeeds, and prints the lines that README.md shows."""
    done = subprocess.run(
        [ROOT / "scripts" / "demo.sh", tmp_path], capture_output=True, text=True, check=True, timeout=600
    )
    printed = {shape(line) for line in done.stdout.splitlines()}
    (shown,) = [block for block in blocks("README.md") if block.language == "text" and "Rows: " in block.code]
    assert [line for line in shown.code.splitlines() if shape(line) not in printed] == []


@pytest.mark.slow
def test_spark_ml_fails_where_the_readme_says(tmp_path: Path) -> None:
    """At 20 features and sd 1 the script finds an index at chance level for Spark ML, and both clusters for ours."""
    script = ROOT / "scripts" / "benchmarks" / "spark_ml_failure.py"
    words = ["--features", "20", "--scales", "1", "--seeds", "1"]
    done = subprocess.run(
        [sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    theirs, ours = (float(cell) for cell in done.stdout.splitlines()[-1].split("|")[2:4])
    assert theirs < 0.5
    assert ours > 0.95


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory, application: Application) -> Printed:
    """Run the blocks of all documents in one folder with the tables that they need."""
    folder = tmp_path_factory.mktemp("documents")
    write_tables(folder)
    prepare_programs(folder)
    jobs = {name: job for document in RUN for name, job in jobs_of(document, folder)}
    return Printed(folder, application.run(folder, jobs))


def write_tables(folder: Path) -> None:
    """Write a part of the demo's flights, and trips of three kinds of which one has no fare."""
    flights = runpy.run_path(str(ROOT / "scripts" / "flights.py"))["read_flights"]()
    few = flights.take(np.arange(0, len(flights), 60))
    month = pds.partitioning(pa.schema([("month", pa.int64())]), flavor="hive")
    pds.write_dataset(few, folder / "demo-output" / "flights", format="parquet", partitioning=month)
    rng = np.random.default_rng(0)
    trips = rng.standard_normal((3000, 3)) * [1, 3, 2] + np.repeat(
        [[2, 10, 9], [5, 30, 20], [18, 45, 52]], 1000, axis=0
    )
    fare = pa.array(trips[:, 2], mask=np.arange(3000) == 7)
    table = pa.table({"distance": trips[:, 0], "duration": trips[:, 1], "fare": fare})
    (folder / "data" / "trips").mkdir(parents=True)
    pq.write_table(table, folder / "data" / "trips" / "part.parquet")


def prepare_programs(folder: Path) -> None:
    """Make the folder look like a checkout whose programs only record their arguments."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    called = [path.relative_to(ROOT) for path in (ROOT / "scripts").glob("*.sh")]
    for name in (*map(str, called), ".venv/bin/python", "bin/python"):
        program = folder / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("" if name.endswith("environment.sh") else RECORDER)
        program.chmod(0o755)


def jobs_of(document: str, folder: Path) -> Iterator[tuple[str, tuple[str, list[str]]]]:
    """Yield name, file and arguments of each job in the blocks of a document."""
    (example,) = [block.code for block in blocks("README.md") if block.language == "python"]
    table_and_mixture = example.partition("model = ")[0]  # the start of the other examples
    for i, block in enumerate(blocks(document)):
        if block.language == "python":
            file = folder / f"{i}-{document.replace('/', '-')}.py"
            file.write_text(block.code if document == "README.md" else table_and_mixture + block.code)
            yield f"{document} {i} python", (str(file), [])
        elif block.language == "bash" and not block.code.startswith("lake="):
            for j, words in enumerate(called_by(block, folder)):
                place = next((at for at, word in enumerate(words) if word.startswith("jobs/")), None)
                if place is not None and "--master" not in words:
                    yield f"{document} {i} {j}", (str(ROOT / words[place]), words[place + 1 :])


def called_by(block: Block, folder: Path) -> list[list[str]]:
    """Return the programs that a block calls, with their arguments."""
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    (folder / "called").write_text("")
    subprocess.run(["bash", "-euc", block.code], cwd=folder, env=environment, check=True)  # noqa: S607 - as env finds it
    return [line.split("\0")[:-1] for line in (folder / "called").read_text().splitlines()]
