"""The measurements: their harness with a clock of the test, and the command line of each script."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark.mixture.parameters import FAMILIES
from gmm_spark.options import Options
from scripts.benchmarks import data, fits, harness

if TYPE_CHECKING:
    from collections.abc import Callable

    from gmm_spark.mixture.parameters import Family

FOLDER = Path(harness.__file__).parent
SHARED = {"data", "fits", "harness", "sessions"}
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in SHARED)


class Time:
    """Seconds that advance only when a run says so."""

    def __init__(self) -> None:
        self.wall, self.cpu, self.order = 0.0, 0.0, list[tuple[str, int]]()
        self.clock = harness.Clock(lambda: self.wall, lambda: self.cpu)

    def run(self, name: str, seconds: float) -> Callable[[int], str]:
        """Return a run that takes these seconds more with each repeat, half of them on the processor."""

        def run(repeat: int) -> str:
            self.order.append((name, repeat))
            self.wall += seconds * (1 + repeat)
            self.cpu += seconds * (1 + repeat) / 2
            return f"{name} {repeat}"

        return run


def test_runs_take_turns_and_each_is_timed_alone() -> None:
    """Each repeat has every run once, starts with the next run, and returns seconds and result of each."""
    time = Time()
    timings = harness.interleave({"a": time.run("a", 0.25), "b": time.run("b", 0.5)}, 3, time.clock)
    assert time.order == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert [each.wall for each in timings["b"]] == [0.5, 1.0, 1.5]
    assert [each.cpu for each in timings["a"]] == [0.125, 0.25, 0.375]
    assert [each.result for each in timings["a"]] == ["a 0", "a 1", "a 2"]


def test_a_spread_is_the_median_and_the_range() -> None:
    """The median of an even number of values is the mean of the middle two; one value is its own range."""
    assert harness.Spread.of([4.0, 1.0, 2.0, 10.0]) == harness.Spread(3.0, 1.0, 10.0)
    assert f"{harness.Spread.of([4.0, 1.0, 2.0]):.1f}" == "2.0 (1.0 to 4.0)"
    assert str(harness.Spread.of([0.12345])) == "0.123"


def test_a_ratio_is_of_the_same_repeat() -> None:
    """If the machine is slower by a factor in one repeat, no ratio changes."""
    slow = np.array([1.0, 7.0, 1.0])
    assert harness.ratio(slow * 6, slow * 2) == harness.Spread(3.0, 3.0, 3.0)
    assert harness.ratio([1.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == harness.Spread(2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="longer"):
        harness.ratio([1.0], [1.0, 2.0])


def test_quick_changes_what_the_command_line_does_not_name(capsys: pytest.CaptureFixture[str]) -> None:
    """--quick is one repeat of the smallest sizes; an explicit option wins; without it there are five repeats."""
    parser = harness.parser("", {"rows": 10, "k": 2})
    for name, default in (("--rows", 1000), ("--k", 8)):
        parser.add_argument(name, type=int, default=default)
    for words, expected in (([], (5, 1000, 8)), (["--quick", "--k=3"], (1, 10, 3))):
        options = harness.parse_options(parser, words)
        assert (options.repeats, options.rows, options.k) == expected
        parser.set_defaults(repeats=5, rows=1000, k=8)
    assert "cores" in capsys.readouterr().out


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_measurement_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help prints the docstring and the shared options, and ends with status 0."""
    module = import_module(f"scripts.benchmarks.{name}")
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert str(module.__doc__).splitlines()[0] in printed
    assert "--quick" in printed


def test_a_measurement_runs_as_a_program() -> None:
    """The smallest one in memory prints the machine and a table in which all three fits find the wines."""
    command = [sys.executable, str(FOLDER / "clusters.py"), "--quick", "--figures", "ari,passes"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    machine, _, head, _, row, *_ = ran.stdout.splitlines()
    assert "numpy" in machine
    figures = dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (head, row)), strict=True))
    assert (figures["data"], figures["n x d"], figures["K"]) == ("wine", "178 x 13", "3")
    assert min(float(figures[f"{engine}: ari"]) for engine in ("ours", "scikit-learn", "best of five")) > 0.8
    assert float(figures["ours: passes"]) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fit_in_memory_is_a_fit(family: Family) -> None:
    """With a sample and a check on all rows it finds the known mixture, and reports its likelihood."""
    truth = data.truth(3, 2, family)
    x = data.draw_rows(6000, truth)
    result = fits.fit_in_memory(x, Options(2, family, starts=3), sample=1000)
    at_least = fits.mean_log_likelihood(x, truth) if family == "full" else -np.inf
    assert result.mean_log_likelihood == pytest.approx(fits.mean_log_likelihood(x, result.parameters), abs=1e-9)
    assert result.mean_log_likelihood > at_least
    order = [int(np.argmin(np.linalg.norm(result.parameters.means - mean, axis=1))) for mean in truth.means]
    np.testing.assert_allclose(result.parameters.means[order], truth.means, atol=0.02)
