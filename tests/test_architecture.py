"""The imports: the core does not import Spark, Spark no jobs; this file says which package may import which."""

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
MODULES = sorted(PACKAGE.rglob("*.py"))

# One line per package, in reading order: the packages of this project that it may import, all of them earlier ones.
MAY_IMPORT = {
    "errors": "",
    "version": "",
    "limits": "",
    "mixture": "errors",
    "store": "errors mixture",
    "statistics": "errors mixture",
    "em": "errors mixture statistics store",
    "options": "errors mixture statistics em",
    "search": "errors limits mixture statistics em",
    "fit": "errors limits mixture statistics em options search",
    "selection": "errors mixture statistics em",
    "report": "errors mixture store em",
    "spark": "errors",
    "spark.table": "errors limits mixture statistics options spark",
    "spark.blocks": "errors limits mixture statistics search spark spark.table",
    "spark.scoring": "errors mixture statistics spark spark.table",
    "spark.fit": "errors version limits mixture statistics em options search fit spark spark.table spark.blocks",
    "spark.selection": "errors limits mixture statistics em options search fit selection spark spark.table "
    "spark.blocks spark.fit",
    "spark.ml": "errors mixture statistics store em options selection spark spark.table spark.scoring spark.fit "
    "spark.selection",
    "batch": "",
    "batch.files": "errors spark",
    "batch.options": "errors mixture statistics em options selection spark batch.files",
    "batch.manifest": "errors version store spark batch",
    "batch.runtime": "errors store spark spark.fit batch.options batch.manifest",
    "batch.publish": "errors store spark batch.files batch.options batch.manifest batch.runtime",
    "batch.steps": "errors mixture statistics store em search selection report spark spark.table spark.blocks "
    "spark.scoring spark.selection spark.ml batch.files batch.options batch.manifest batch.runtime batch.publish",
    "batch.job": "spark batch.options batch.runtime batch.publish batch.steps",
}
CORE = [name for name in MAY_IMPORT if not name.startswith(("spark", "batch"))]
SPARK = {"numpy", "pyspark", "pyarrow", "py4j"}  # py4j comes with pyspark: its errors are caught by name
OUTSIDE = {"": {"numpy"}, "spark": SPARK, "batch": SPARK | {"pydantic", "pydantic_core", "pydantic_settings", "yaml"}}


def package_of(name: str) -> str:
    """Return the package, or the module of the root, that a dotted name of this project belongs to; "" is the root."""
    parts = name.split(".")[1:]
    return next((p for p in (".".join(parts[:2]), ".".join(parts[:1])) if p in MAY_IMPORT), "")


def dotted(path: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


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


def imported_modules(path: Path) -> set[str]:
    """Return the modules of this project that a file imports: of a name in a module, the module."""
    modules = {dotted(module) for module in MODULES}
    ours = {name for name in imported(path) if name.split(".")[0] == "gmm_spark"}
    return {name if name in modules else name.rpartition(".")[0] for name in ours}


def test_every_package_has_its_line() -> None:
    """A new package needs a line here with its imports, and each line belongs to a package that exists."""
    packages = {dotted(path.parent / "x").rpartition(".")[0] for path in MODULES if path.parent != PACKAGE}
    roots = {dotted(path) for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    roots.add(dotted(PACKAGE / "batch" / "job.py"))  # above the packages beside it
    there = {name.partition(".")[2] for name in packages | roots}
    assert there == MAY_IMPORT.keys()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    """A package imports only what its line allows; lines are in reading order: no line has a later package."""
    allowed = {package, *MAY_IMPORT[package].split()}
    later = list(MAY_IMPORT)[list(MAY_IMPORT).index(package) + 1 :]
    assert not allowed & set(later)
    for path in (path for path in MODULES if package_of(dotted(path)) == package):
        used = {package_of(name) for name in imported_modules(path)}
        assert used <= allowed, f"{path.relative_to(ROOT)} imports {sorted(used - allowed)}"


def test_no_line_allows_more_than_is_used() -> None:
    """Each package in a line is imported."""
    for package, line in MAY_IMPORT.items():
        files = [path for path in MODULES if package_of(dotted(path)) == package]
        used = {package_of(name) for path in files for name in imported_modules(path)}
        assert set(line.split()) <= used, f"{package} does not import {sorted(set(line.split()) - used)}"


def test_there_are_no_cycles() -> None:
    """All modules of the package can be put in an order in which each imports only earlier ones."""
    graph = {dotted(path): imported_modules(path) - {"gmm_spark"} for path in MODULES if path.parent != ROOT}
    del graph["gmm_spark"]  # imports the public names on demand
    faces = {dotted(path) for path in MODULES if path.name == "__init__.py"}
    within = {
        name: {each for each in uses if each not in faces or name not in graph[each]} for name, uses in graph.items()
    }
    assert set(TopologicalSorter(within).static_order()) == set(graph)


def test_few_files_are_in_the_root() -> None:
    """The root has few files, so that packages are visible; no module has the name of another one."""
    assert len(list(PACKAGE.glob("*.py"))) <= 6
    names = [path.stem for path in MODULES if path.name != "__init__.py"]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})


def test_no_public_name_is_defined_twice() -> None:
    """One word means one thing: no function or class of a module has the name of one in another module."""
    definitions = ast.FunctionDef | ast.ClassDef
    owners: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, definitions) and not node.name.startswith("_"):
                owners.setdefault(node.name, []).append(dotted(path))
    assert not {name: places for name, places in owners.items() if len(places) > 1}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_only_named_libraries_are_imported(path: Path) -> None:
    """The core needs only numpy, spark adds pyspark and pyarrow, batch the libraries that read options."""
    layer = dotted(path).split(".")[1] if "." in dotted(path) else ""
    roots = {name.split(".")[0] for name in imported(path)}
    wrong = roots - set(sys.stdlib_module_names) - {"gmm_spark"} - OUTSIDE.get(layer, OUTSIDE[""])
    assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_nothing_imports_jobs() -> None:
    """Jobs are programs: no module of the package and no other job imports one."""
    for path in [*MODULES, *(ROOT / "jobs").glob("*.py")]:
        assert "jobs" not in {name.split(".")[0] for name in imported(path)}, path


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.py")), ids=lambda path: path.stem)
def test_a_job_is_short(path: Path) -> None:
    """A job file has at most 60 lines: common code is in `gmm_spark/batch/job.py`."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_jobs_import_the_package_only() -> None:
    """A job imports only the standard library and gmm_spark."""
    for path in (ROOT / "jobs").glob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names)
        assert roots <= {"gmm_spark"}, f"{path.name} imports {sorted(roots)}"


def test_no_job_hides_a_module_of_python() -> None:
    """Python searches the program's folder first: a job `select.py` would replace Python's `select`."""
    hidden = {path.stem for path in (ROOT / "jobs").glob("*.py")} & sys.stdlib_module_names
    assert not hidden, f"jobs named as modules of Python: {sorted(hidden)}"


def test_the_jvm_is_used_in_one_module() -> None:
    """Private attributes of PySpark's JVM are used only in `spark/session.py`."""
    private = {"_jvm", "_jsc", "_jdf", "_gateway", "_jsparkSession"}
    for path in MODULES:
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not names & private or path.name == "session.py", f"{path.relative_to(ROOT)} uses {names & private}"


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
    """gmm_spark and every core module can be imported if only numpy is installed."""
    done = python(BLOCKED, "gmm_spark", *(dotted(path) for path in MODULES if package_of(dotted(path)) in CORE))
    assert done.returncode == 0, done.stderr


def test_importing_the_estimator_without_spark_says_what_is_missing() -> None:
    """The public name raises an ImportError about pyspark, not an AttributeError."""
    code = BLOCKED + "\nfrom gmm_spark import GaussianMixture"
    done = python(code)
    assert "pyspark" in done.stderr.splitlines()[-1]
    assert "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr


def test_nothing_prints() -> None:
    """The package logs; jobs return their summary, which one module writes."""
    for path in [*MODULES, *(ROOT / "jobs").glob("*.py")]:
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        printing = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing, f"{path.relative_to(ROOT)} prints in lines {printing}"
        writing = [call.lineno for call in calls if ast.unparse(call.func) == "sys.stdout.write"]
        assert not writing or path.name == "status.py", f"{path.relative_to(ROOT)} writes to stdout in lines {writing}"
