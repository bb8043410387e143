"""Write conf/fit.yaml and its like from the definitions of the options: python scripts/conf_files.py."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gmm_spark.batch.options.jobs import FitConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.options.mistakes import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from gmm_spark.batch.options.jobs import JobConfig

ROOT = Path(__file__).parents[1]
JOBS: Mapping[str, tuple[str, type[JobConfig]]] = {  # file: program, options
    "fit": ("fit", FitConfig),
    "select": ("select_model", SelectConfig),
    "score": ("score", ScoreConfig),
    "simulate": ("simulate", SimulateConfig),
}
ORDER = (
    "run",
    "input",
    "features",
    "model",
    "mixture",
    "grid",
    "choice",
    "start",
    "fit",
    "sample",
    "quality",
    "output",
)
EXAMPLES: Mapping[str, object] = {
    "input.path": "data/table",
    "features.columns": ["x", "y"],
    "model.path": "models/table",
    "grid.k": "2-8",
    "sample.rows": 100_000,
}
OUTPUTS = {"fit": "models/table", "select": "models/table", "score": "data/table-scored", "simulate": "data/simulated"}
OTHER_FORMS = {"input.table": "lake.flights", "features.column": "features"}  # instead of an example
WIDTH, COLUMN = 120, 28


def text(name: str) -> str:
    """Return the example file of a job: every option with its default, or an example, and its meaning."""
    program, job = JOBS[name]
    header = (
        f"Options of jobs/{program}.py, with their defaults; paths and columns are examples. Every option can be given "
        "as --section.key=value, or in the environment as GMM_SPARK_SECTION__KEY; the command line wins over the "
        f"environment, and that over this file. ${{env:NAME}} stands for an environment variable. {program}.py --help "
        "prints the same list. scripts/conf_files.py writes this file."
    )
    lines = textwrap.wrap(header, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    for section in (*ORDER, "logs"):
        if section in job.model_fields:
            fields = {key: field for key, field in options(job).items() if key.partition(".")[0] == section}
            lines += ["", f"{section}:", *(line for key in fields for line in _option(key, fields[key], OUTPUTS[name]))]
    return "".join(f"{line}\n" for line in lines)


def _option(key: str, field: FieldInfo, output: str) -> list[str]:
    """Return the lines of an option; one that excludes an example is a comment."""
    value = output if key == "output.path" else EXAMPLES.get(key, OTHER_FORMS.get(key, _default(field)))
    value_line = (
        f"{key.partition('.')[2]}: {yaml.safe_dump(value, default_flow_style=True, width=WIDTH).partition(chr(10))[0]}"
    )
    first = f"  {'# ' if key in OTHER_FORMS else ''}{value_line}"
    comment = textwrap.TextWrapper(WIDTH, f"{first:<{COLUMN - 2}}  # ", f"{'':{COLUMN}}# ", break_on_hyphens=False)
    return comment.wrap(str(field.description))


def _default(field: FieldInfo) -> Any:  # noqa: ANN401 - a YAML value
    value = field.get_default(call_default_factory=True)
    return list(value) if isinstance(value, tuple) else value


if __name__ == "__main__":
    for name in JOBS:
        (ROOT / "conf" / f"{name}.yaml").write_text(text(name), encoding="utf-8")
