"""What is wrong with a row: the list of its faults and the first of them agree. No Spark."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.spark.table.checks import check_rows
from gmm_spark.spark.table.rows import RowLayout, decode, row_faults
from gmm_spark.spark.table.survey_pass import survey_batch
from gmm_spark.statistics.doubts import Refused, of_mixture, of_table
from gmm_spark.statistics.layouts import statistics_bytes
from gmm_spark.statistics.survey import REASONS

CELLS = st.sampled_from([None, 0.0, 1.5, -3.0, float("nan"), float("inf"), -float("inf"), 2e150])
WEIGHTS = st.sampled_from([None, 0.0, 2.0, -1.0, float("nan"), float("inf")])


def _told(
    layout: RowLayout, features: list[pa.Array], weights: list[float | None]
) -> tuple[list[str], list[list[str]]]:
    columns = [*features, pa.array(weights, pa.float64())]
    found = row_faults(columns, layout)
    assert not found[0].any()
    all_faults = [[reason for reason, bad in zip(REASONS, row, strict=True) if bad] for row in found.T]
    return [REASONS[code] for code in decode(columns, layout).reasons], all_faults


def _agree(first: list[str], every: list[list[str]]) -> None:
    for reason, found in zip(first, every, strict=True):
        # What an array of the wrong length holds is not looked at.
        assert reason == ("wrong_length" if "wrong_length" in found else next(iter(found), "ok"))


@given(st.lists(st.tuples(CELLS, CELLS, WEIGHTS), min_size=1, max_size=20))
def test_faults_of_columns(rows: list[tuple[float | None, float | None, float | None]]) -> None:
    """A row is usable where it has no fault, and counted by the first of its faults."""
    x, y, weights = map(list, zip(*rows, strict=True))
    features = [pa.array(x, pa.float64()), pa.array(y, pa.float64())]
    _agree(*_told(RowLayout(2, array=False, weighted=True), features, weights))


@given(st.lists(st.tuples(st.none() | st.lists(CELLS, max_size=3), WEIGHTS), min_size=1, max_size=20))
def test_faults_of_arrays(rows: list[tuple[list[float | None] | None, float | None]]) -> None:
    """The same for one column of arrays, null, empty, short and long ones among them."""
    lists, weights = map(list, zip(*rows, strict=True))
    features = [pa.array(lists, pa.list_(pa.float64()))]
    _agree(*_told(RowLayout(2, array=True, weighted=True), features, weights))


def test_a_row_tells_all_its_faults() -> None:
    """A row that is null here, NaN there, infinite elsewhere and of negative weight has four faults."""
    layout = RowLayout(3, array=True, weighted=True)
    rows = [[None, float("nan"), float("inf")], [1.0, 2.0, 3.0], [None]]
    _, every = _told(layout, [pa.array(rows, pa.list_(pa.float64()))], [-1.0, 1.0, 1.0])
    assert every == [["null", "nan", "infinite", "bad_weight"], [], ["null", "wrong_length"]]


def test_doubtful_tables_are_told_with_numbers() -> None:
    """Few rows a parameter, columns that are copies, large statistics and unusable rows are warned of."""
    x = np.random.default_rng(0).normal(size=(40, 2))
    table = [
        pa.array(x[:, 0]),
        pa.array(x[:, 1]),
        pa.array(7 - 2 * x[:, 0]),
        pa.array([None, *range(39)], pa.float64()),
    ]
    surveyed = survey_batch(decode(table, RowLayout(4, array=False, weighted=False)))
    names = ("a", "b", "copy of a", "c")
    (few,) = of_mixture(surveyed, 3, "diag")
    (with_noise,) = of_mixture(surveyed, 3, "diag", noise=True)
    copies, bad = of_table(surveyed, names)
    assert "39 rows for 26 free parameters" in few
    assert "39 rows for 28 free parameters" in with_noise
    assert "'a' and 'copy of a'" in copies
    assert "1 of 40 rows (2.5 %) that cannot be used: 1 null" in bad
    sound = survey_batch(decode(table[:2], RowLayout(2, array=False, weighted=False)))
    assert not (*of_mixture(sound, 1, "spherical"), *of_table(sound, ("a", "b")))


@pytest.mark.parametrize(
    ("family", "features"),
    [
        ("full", 1 + 3 + 6),
        ("tied", 1 + 3),
        *((each, 1 + 6) for each in ("diag", "spherical", "tied-diag", "tied-spherical")),
    ],
)
def test_the_bytes_of_the_statistics(family: str, features: int) -> None:
    """A candidate's statistics are k sums over the features of a row, 8 bytes each."""
    assert statistics_bytes(5, 3, family) == 8 * 5 * features  # type: ignore[arg-type]


@pytest.mark.parametrize(("most", "refused"), [(None, True), (0.0, True), (0.24, True), (0.25, False), (1.0, False)])
def test_a_share_of_unusable_rows_is_put_up_with(most: float | None, refused: bool) -> None:  # noqa: FBT001
    """Rows are refused where more of them are unusable than allowed; the error carries the counts."""
    surveyed = survey_batch(decode([pa.array([1.0, None, 2.0, 3.0])], RowLayout(1, array=False, weighted=False)))
    if not refused:
        check_rows(surveyed, most, ["x"])
        return
    with pytest.raises(ValueError, match=r"1 of 4 rows \(25 %\)") as caught:
        check_rows(surveyed, most, ["x"])
    got = getattr(caught.value, "got", None)
    assert isinstance(got, Refused)
    assert got.counts == {"null": 1, "wrong_length": 0, "nan": 0, "infinite": 0, "bad_weight": 0}
