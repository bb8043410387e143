"""Write the tables of options in the documents from the definitions of the options: python scripts/option_tables.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gmm_spark import GaussianMixture
from gmm_spark.batch.options.jobs import FitConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.options.mistakes import options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic.fields import FieldInfo

    from gmm_spark.batch.options.jobs import JobConfig

BAR = r"\|"  # within a cell
ROOT = Path(__file__).parents[1]
JOBS: dict[str, type[JobConfig]] = {
    "fit": FitConfig,
    "select_model": SelectConfig,
    "score": ScoreConfig,
    "simulate": SimulateConfig,
}
_PLACE = re.compile(r"(<!-- (?:options|params): start -->\n)(.*?)(<!-- (?:options|params): end -->)", re.DOTALL)


def options_of_jobs() -> str:
    """Return the options of all jobs as a table: a line per option, two if jobs define it differently."""
    jobs: dict[tuple[str, str, str], list[str]] = {}
    for job, config in JOBS.items():
        for name, field in options(config).items():
            jobs.setdefault((name, _default(field), field.description or ""), []).append(job)
    sections = list(dict.fromkeys(name.partition(".")[0] for name, _, _ in jobs))
    lines = sorted(jobs, key=lambda line: sections.index(line[0].partition(".")[0]))
    return _table(
        ("option", "default", "jobs", "meaning"),
        ((f"`{name}`", default, ", ".join(jobs[name, default, text]), text) for name, default, text in lines),
    )


def params_of_the_estimator() -> str:
    """Return the params of GaussianMixture as a table, in the order of the names."""
    mixture = GaussianMixture()
    defaults: Mapping[str, object] = {param.name: value for param, value in mixture._defaultParamMap.items()}  # noqa: SLF001
    return _table(
        ("param", "default", "meaning"),
        ((f"`{param.name}`", _text(defaults.get(param.name)), param.doc) for param in mixture.params),
    )


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else _text(field.get_default(call_default_factory=True))


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    cells = [
        head,
        ["---"] * len(head),
        *([cell.replace("|", r"\|").replace("<", "&lt;") for cell in line] for line in lines),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


TABLES = {"jobs/README.md": options_of_jobs, "gmm_spark/README.md": params_of_the_estimator}


def written(document: str) -> str:
    """Return the text of a document with its table made from the definitions."""
    text = (ROOT / document).read_text(encoding="utf-8")
    table = TABLES[document]()
    return _PLACE.sub(lambda place: f"{place[1]}\n{table}\n{place[3]}", text)


if __name__ == "__main__":
    for name in TABLES:
        (ROOT / name).write_text(written(name), encoding="utf-8")
