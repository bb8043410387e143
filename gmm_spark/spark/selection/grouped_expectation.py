"""One distributed E-step for candidates of all families, each in the coordinates and the sums that suit it.

One read of a block serves every group of candidates: full in whitened coordinates with quadratic
features, tied in the same with linear ones, diagonal and spherical families in scaled ones with squares only. Quadratic
features for all would be one product instead of three, and 1.5 times (d = 8) to 2 times (d = 32) slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from gmm_spark.statistics import layouts
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.kernel import accumulate, zero_moments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
    from gmm_spark.selection.race import Request
    from gmm_spark.spark.blocks.expectation import DistributedExpectation
    from gmm_spark.statistics.engines import Precision
    from gmm_spark.statistics.moments import Moments

# This many blocks are read, then given to one group of candidates after the other: setting up a group's engine costs
# less the more there are, and 8 of 2 MB are little memory.
_CHUNK = 8


@dataclass(frozen=True, eq=False)
class Group:
    """Candidates that share coordinates, features and rows.

    Args:
        candidates: the mixtures.
        request: one of their requests, for the rows that they take.
        turn: (d, d) from the blocks' coordinates to the candidates'; None where they are the same.
    """

    candidates: tuple[Parameters, ...]
    request: Request
    turn: FloatArray | None

    def accumulate(self, blocks: Sequence[tuple[int, Block]], precision: Precision) -> tuple[Moments, ...]:
        """Return the candidates' statistics over the blocks of their folds."""
        own = (block for fold, block in blocks if self.request.takes(fold))
        turned = own if self.turn is None else (_turned(block, self.turn) for block in own)
        return accumulate(turned, self.candidates, precision=precision)


@dataclass(frozen=True, eq=False)
class OverGroups:
    """What a read of the blocks adds up for all groups, one group after the other.

    Args:
        groups: the groups.
        precision: of the products.
    """

    groups: tuple[Group, ...]
    precision: Precision = "float64"

    def zeros(self) -> tuple[Moments, ...]:
        """Return the statistics of no rows."""
        return tuple(zero for group in self.groups for zero in zero_moments(group.candidates))

    def over(self, blocks: Iterable[tuple[int, Block]]) -> tuple[Moments, ...]:
        """Return the statistics of the blocks, each given with the fold of its rows."""
        added = self.zeros()
        for chunk in _chunks(blocks):
            new = (moments for group in self.groups for moments in group.accumulate(chunk, self.precision))
            added = tuple(before + more for before, more in zip(added, new, strict=True))
        return added


@dataclass(frozen=True, eq=False)
class GridExpectation:
    """The engine of `racing.race` over blocks on a cluster.

    Args:
        expectation: the engine over the blocks.
        turns: (d, d) from the blocks' coordinates to those of a family, where they differ.
    """

    expectation: DistributedExpectation
    turns: dict[Family, FloatArray]

    def __call__(self, requests: Sequence[Request]) -> tuple[Moments, ...]:
        """Return the statistics of each request: one read of the blocks."""
        places: dict[tuple[object, ...], list[int]] = {}
        for place, each in enumerate(requests):
            key = layouts.layout_for([each.parameters]), each.parameters.family in self.turns, each.held, each.only
            places.setdefault(key, []).append(place)
        groups = tuple(self._group([requests[place] for place in own]) for own in places.values())
        order = [place for own in places.values() for place in own]
        measured = dict(zip(order, self.expectation.read(OverGroups(groups, self.expectation.precision)), strict=True))
        return tuple(measured[place] for place in range(len(requests)))

    def _group(self, requests: Sequence[Request]) -> Group:
        first = requests[0]
        return Group(tuple(each.parameters for each in requests), first, self.turns.get(first.parameters.family))


def _chunks(blocks: Iterable[tuple[int, Block]]) -> Iterator[list[tuple[int, Block]]]:
    remaining = iter(blocks)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk


def _turned(block: Block, turn: FloatArray) -> Block:
    """Return the block in other coordinates."""
    return Block(turn @ block.z, block.weights)
