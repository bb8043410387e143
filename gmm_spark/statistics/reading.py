"""A read of the blocks: the mixtures to measure, and the rows to measure them on; the blocks may be anywhere.

One read of a block computes every group of mixtures: full with quadratic features in whitened coordinates, tied with
linear features in the same, the diagonal families with squares alone in scaled coordinates. Quadratic features for all
would need one product instead of three, but be 1.5 times (d = 8) to 2 times (d = 32) slower.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING
from zlib import crc32

from gmm_spark.statistics import layouts
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.kernel import accumulate, zero_moments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
    from gmm_spark.statistics.engines import Precision
    from gmm_spark.statistics.moments import Moments


@dataclass(frozen=True, eq=False)
class Request:
    """One mixture to be measured by a read of the data.

    Args:
        parameters: the mixture, in the coordinates that suit its family.
        held: the fold whose rows are left out, or None.
        only: the only fold whose rows are measured, or None for all.
    """

    parameters: Parameters
    held: int | None = None
    only: int | None = None

    def takes(self, fold: int) -> bool:
        """Return whether rows of this fold count; -1 means rows in no fold."""
        return fold != self.held if self.only is None else fold == self.only


@dataclass(frozen=True, eq=False)
class Reading:
    """The statistics that a read of the blocks computes; it is sent to the tasks.

    Args:
        requests: the mixtures, each with its rows.
        one_in: n, a power of two: a hash selects about one in n blocks; a smaller part is contained in a larger one.
        kept: the number of rows of least density to return per request; None: a few if the layout has densities.
        precision: of the products; float64 is used if the error bound requires it.
        turns: (d, d) matrices from the coordinates of the blocks to those of a family, if they differ.
        together: the number of blocks that each group of requests processes at a time; None: all.
    """

    requests: tuple[Request, ...]
    one_in: int = 1
    kept: int | None = None
    precision: Precision = "float64"
    turns: Mapping[Family, FloatArray] = field(default_factory=dict)
    together: int | None = None

    @property
    def is_of_all_rows(self) -> bool:
        """Whether the first request measures all rows in the blocks' own coordinates, so that sums can be compared."""
        first = self.requests[0]
        return self.one_in == 1 and first.held is first.only is None and first.parameters.family not in self.turns

    def zeros(self) -> tuple[Moments, ...]:
        """Return the statistics of no rows, for each request."""
        return self._in_order([zero_moments(self._mixtures(group), self.kept) for group in self._groups])

    def over(self, blocks: Iterable[tuple[int, Block]]) -> tuple[Moments, ...]:
        """Return the statistics of (fold, block) pairs, for each request."""
        part = (each for each in blocks if self.one_in == 1 or not crc32(each[1].total.tobytes()) % self.one_in)
        if self.together is None:
            whole = part if len(self._groups) == 1 else list(part)
            return self._in_order([self._measured(group, whole) for group in self._groups])
        sums = self.zeros()
        for chunk in _chunks(part, self.together):
            new = self._in_order([self._measured(group, chunk) for group in self._groups])
            sums = tuple(before + more for before, more in zip(sums, new, strict=True))
        return sums

    @property
    def _groups(self) -> list[list[int]]:
        """The indices of the requests, grouped by coordinates, features and rows."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for place, each in enumerate(self.requests):
            key = layouts.layout_for([each.parameters]), each.parameters.family in self.turns, each.held, each.only
            groups.setdefault(key, []).append(place)
        return list(groups.values())

    def _mixtures(self, group: Sequence[int]) -> list[Parameters]:
        return [self.requests[place].parameters for place in group]

    def _measured(self, group: Sequence[int], blocks: Iterable[tuple[int, Block]]) -> tuple[Moments, ...]:
        first = self.requests[group[0]]
        turn = self.turns.get(first.parameters.family)
        measured = (block for fold, block in blocks if first.takes(fold))
        turned = measured if turn is None else (_turned(block, turn) for block in measured)
        return accumulate(turned, self._mixtures(group), precision=self.precision, kept=self.kept)

    def _in_order(self, measured: Sequence[tuple[Moments, ...]]) -> tuple[Moments, ...]:
        """Return the statistics of the groups in the order of the requests."""
        by_place = {
            place: each
            for group, own in zip(self._groups, measured, strict=True)
            for place, each in zip(group, own, strict=True)
        }
        return tuple(by_place[place] for place in range(len(self.requests)))


def _chunks(blocks: Iterable[tuple[int, Block]], size: int) -> Iterator[list[tuple[int, Block]]]:
    remaining = iter(blocks)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _turned(block: Block, turn: FloatArray) -> Block:
    """Return the block in other coordinates."""
    return Block(turn @ block.z, block.weights)
