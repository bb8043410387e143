"""The table of a selection as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("", "chosen", lambda chosen: "*" if chosen else ""),
    ("candidate", "name", str),
    ("p", "parameters", str),
    ("log-likelihood", "log_likelihood", "{:.3f}".format),
    ("nats per row", "mean_log_likelihood", "{:.6f}".format),
    ("held out", "heldout_mean_log_likelihood", "{:.6f}".format),
    ("gain", "gain_per_component", "{:.6f}".format),
    ("BIC", "bic", "{:.3f}".format),
    ("AIC", "aic", "{:.3f}".format),
    ("ICL", "icl", "{:.3f}".format),
    ("passes", "passes", str),
    ("floored", "floor_hits", str),
    ("suspicious", "suspicious", str),
    ("stability", "stability", "{:.2f}".format),
    ("outcome", "outcome", str),
)


def candidates_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a selection as text, with * at the chosen row and - for a missing number."""
    table = [[title for title, _, _ in _COLUMNS]]
    table += [["-" if row[name] is None else shown(row[name]) for _, name, shown in _COLUMNS] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    notes = ["", "BIC, AIC, ICL: smaller is better; nats per row, held out: larger is better."]
    notes += ["suspicious: findings about components; a candidate with any is chosen only if no other is sound."]
    notes += ["few rows: each row that a component lacks adds 4 to BIC, AIC and ICL in the choice, not in the table."]
    notes += ["stability: the share of the starts that led to the partition of the best one."]
    notes += ["gain: nats per row that each added component gains over the next smaller k of its family."]
    return "\n".join([*lines, *notes]) + "\n"
