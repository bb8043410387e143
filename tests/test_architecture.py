"""The mathematics knows no Spark, Spark knows no files, jobs know everything; who imports whom is held here."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gmm_spark"
CORE = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
LAYERS = {"spark": ("core",), "batch": ("core", "spark", "batch"), "report": ("core", "spark", "report")}
OUTSIDE = {
    "core": {"numpy"},
    "spark": {"numpy", "pyspark", "pyarrow", "py4j"},  # py4j comes with pyspark: its errors are caught by name
    "batch": {"numpy", "pyspark", "pyarrow", "py4j", "pydantic", "pydantic_core", "pydantic_settings", "yaml"},
    "report": {"numpy", "pyspark", "pyarrow"},
}


def modules(layer: str) -> list[Path]:
    """Return the files of a layer."""
    return sorted((PACKAGE if layer == "core" else PACKAGE / layer).glob("*.py"))


@cache
def imported(path: Path) -> frozenset[str]:
    """Return the dotted names that a file imports at run time or for its types, absolute."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def layer_of(name: str) -> str:
    """Return the layer of a dotted name of this package."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "core"


@pytest.mark.parametrize("layer", ["core", *LAYERS])
def test_imports_point_inwards(layer: str) -> None:
    """core imports core; spark imports core and spark; batch and report import core and spark; none imports jobs."""
    allowed = {"core": ("core",), "spark": ("core", "spark")}.get(layer) or LAYERS[layer]
    for path in modules(layer):
        ours = {name for name in imported(path) if name.split(".")[0] == "gmm_spark"}
        if path == PACKAGE / "__init__.py":  # imports the public names on demand
            ours = {name for name in ours if not name.startswith("gmm_spark.spark")}
        wrong = {name for name in ours if layer_of(name) not in allowed}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.parametrize("layer", OUTSIDE)
def test_only_named_libraries_are_imported(layer: str) -> None:
    """core needs numpy alone, spark adds pyspark and pyarrow, batch what reads and checks its options."""
    for path in modules(layer):
        roots = {name.split(".")[0] for name in imported(path)}
        wrong = roots - set(sys.stdlib_module_names) - {"gmm_spark"} - OUTSIDE[layer]
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_nothing_imports_jobs() -> None:
    """Jobs are programs: no module of the package and no other job imports one."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "jobs").glob("*.py")]:
        assert "jobs" not in {name.split(".")[0] for name in imported(path)}, path


def test_jobs_stand_alone() -> None:
    """A job imports the standard library and gmm_spark only: everything else is behind a layer."""
    for path in (ROOT / "jobs").glob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names)
        assert roots <= {"gmm_spark"}, f"{path.name} imports {sorted(roots)}"


def test_the_core_has_no_cycles() -> None:
    """Core modules can be put in an order in which each imports only earlier ones."""
    graph = {
        module: {
            name.split(".")[1] if name.split(".")[1] in CORE else name.split(".")[2]
            for name in imported(PACKAGE / f"{module}.py")
            if name.split(".")[0] == "gmm_spark" and set(name.split(".")[1:]) & set(CORE)
        }
        for module in CORE
    }
    assert set(TopologicalSorter(graph).static_order()) == set(CORE)


BLOCKED = """
import importlib, sys
for name in ("pyspark", "pyarrow", "py4j", "pandas", "scipy", "sklearn", "yaml", "pydantic"):
    sys.modules[name] = None  # importing it raises ImportError
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_core_imports_without_spark_and_arrow() -> None:
    """gmm_spark and every core module import where pyspark, pyarrow and all but numpy are missing."""
    names = ["gmm_spark", *(f"gmm_spark.{module}" for module in CORE)]
    done = python(BLOCKED, *names)
    assert done.returncode == 0, done.stderr


def test_importing_the_estimator_without_spark_says_what_is_missing() -> None:
    """The public name fails as an ImportError about pyspark, not as an AttributeError."""
    code = BLOCKED + "\nfrom gmm_spark import GaussianMixture"
    done = python(code)
    assert "pyspark" in done.stderr.splitlines()[-1]
    assert "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr


def test_nothing_prints() -> None:
    """The package logs; jobs return their summary, and one place writes it."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "jobs").glob("*.py")]:
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        printing = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing, f"{path.relative_to(ROOT)} prints in lines {printing}"
        writing = [call.lineno for call in calls if ast.unparse(call.func) == "sys.stdout.write"]
        assert not writing or path.name == "status.py", f"{path.relative_to(ROOT)} writes to stdout in lines {writing}"
