"""The harness of all measurements: command line, interleaved repeats, medians and ratios, the machine, tables.

A measurement runs its systems in turn, within one process, at least five times by default. It prints medians with the
least and the largest value. A ratio is the median of the quotients of each turn, because other load on the machine then
changes both sides of a quotient. BLAS has a fixed number of threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import psutil
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 5
_LONG = 1.0  # seconds
_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def parser(doc: str | None, quick: Mapping[str, object], repeats: str = "repeats") -> argparse.ArgumentParser:
    """Return a parser with the options that all measurements have.

    Args:
        doc: the script's docstring, which becomes the help.
        quick: the values of options that `--quick` sets, to show that the script runs.
        repeats: the name of the option with the number of repeats; "seeds" if each repeat has another seed.
    """
    result = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    smallest = {repeats: 1, **quick}
    result.add_argument(
        "--quick", action="store_const", const=smallest, help="the smallest sizes: runs, measures little"
    )
    result.add_argument(f"--{repeats}", type=int, default=REPEATS, help="interleaved; the tables show their median")
    result.add_argument("--threads", type=int, default=1, help="of BLAS in this process")
    return result


def parse_options(command_line: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, fix the BLAS threads of this process and its children, and print the machine."""
    quick = command_line.parse_known_args(argv)[0].quick
    command_line.set_defaults(**(quick or {}))
    options = command_line.parse_args(argv)
    os.environ.update(dict.fromkeys(_BLAS, "1"))
    threadpool_limits(options.threads)
    print(machine(options.threads), end="\n\n", flush=True)
    return options


def list_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return the type of an option that is a comma-separated list of known names."""

    def split(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"got {', '.join(unknown)}; expected some of {', '.join(known)}")
        return names

    return split


def machine(threads: int) -> str:
    """Return what each number depends on: the date, the machine, the versions and the commit."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scikit-learn", "pyspark"))
    memory, load = psutil.virtual_memory().total / 2**30, os.getloadavg()[0]
    hardware = f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f}"
    return (
        f"{datetime.now(timezone.utc):%d %B %Y}; {hardware}; "
        f"Python {platform.python_version()}, {packages}; commit {_commit()}; BLAS threads: {threads}"
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - a fixed command
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return "unknown"
    return done.stdout.strip()


@dataclass(frozen=True)
class Timing(Generic[T]):
    """The result of a run, and its seconds of the clock and of processor time."""

    wall: float
    cpu: float
    result: T


@dataclass(frozen=True)
class Clock:
    """Measures runs; by default `cpu` counts only this process."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time

    def time(self, run: Callable[[], T]) -> Timing[T]:
        """Measure one run."""
        cpu, wall = self.cpu(), self.wall()
        result = run()
        wall = self.wall() - wall
        return Timing(wall, self.cpu() - cpu, result)


def interleave(
    runs: Mapping[str, Callable[[int], T]], repeats: int, clock: Clock | None = None
) -> dict[str, list[Timing[T]]]:
    """Run each function once per repeat, with the repeat's number; return its timings by repeat.

    A repeat starts with the function that was second in the repeat before, so that none always runs first. Long runs
    are printed on stderr when they end.
    """
    names, clock = list(runs), clock or Clock()
    timings: dict[str, list[Timing[T]]] = {name: [] for name in names}
    for repeat in range(repeats):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            timings[name].append(clock.time(partial(runs[name], repeat)))
            if timings[name][-1].wall > _LONG:
                print(f"{name}, repeat {repeat}: {timings[name][-1].wall:.1f} s", file=sys.stderr, flush=True)
    return timings


@dataclass(frozen=True)
class Spread:
    """The median of some values, and their range; formatted as "median (least to largest)"."""

    median: float
    least: float
    largest: float

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        """Summarise the values of the repeats."""
        ordered = sorted(values)
        return Spread(float(median(ordered)), ordered[0], ordered[-1])

    def __format__(self, spec: str) -> str:
        middle, least, largest = (format(each, spec or ".3g") for each in (self.median, self.least, self.largest))
        return middle if least == largest else f"{middle} ({least} to {largest})"

    def __str__(self) -> str:
        return format(self)


def wall(timings: Sequence[Timing[Any]]) -> Spread:
    """Return the seconds of the clock."""
    return Spread.of(each.wall for each in timings)


def cpu(timings: Sequence[Timing[Any]]) -> Spread:
    """Return the seconds of processor time."""
    return Spread.of(each.cpu for each in timings)


def ratio(numerators: Iterable[float], denominators: Iterable[float]) -> Spread:
    """Return the quotients, repeat by repeat."""
    return Spread.of(one / other for one, other in zip(numerators, denominators, strict=True))


def head(*cells: str) -> None:
    """Print the head of a Markdown table."""
    say(*cells)
    say(*("---" for _ in cells))


def say(*cells: object) -> None:
    """Print a row of a Markdown table."""
    print("|", " | ".join(f"{each:.5g}" if isinstance(each, float) else str(each) for each in cells), "|", flush=True)
