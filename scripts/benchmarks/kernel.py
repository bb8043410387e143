"""The kernel alone, without Spark: one core, one BLAS thread, as a fraction of dgemm at the same time.

    scripts/benchmarks/kernel.py                           # the table
    scripts/benchmarks/kernel.py --shapes 64,4 64,8 --both # by product and by factor

`of dgemm` counts 4F flops per row and component, F the features of the layout; `of limit` is the time of
these flops at dgemm's speed, and of one read of the rows at memcpy's, over the time that a pass took.
Times are CPU seconds, and a pass takes turns with dgemm and memcpy: other programs on the machine cost neither.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args
from unittest import mock

import numpy as np

from gmm_spark.mixture.parameters import FAMILIES, Family
from gmm_spark.statistics import engines, kernel
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.layouts import feature_count
from scripts.benchmarks import data, harness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gmm_spark.mixture.parameters import FloatArray, Parameters

SHAPES = (
    *((16, 64), (32, 32), (64, 64), (2, 3), (4, 8), (16, 16), (32, 16), (64, 16), (128, 16), (256, 8)),
    *((16, 4), (32, 4), (64, 4), (128, 4), (256, 4), (16, 16, "diag"), (16, 16, "tied")),
)


@dataclass(frozen=True)
class Shape:
    """A mixture's shape; its components overlap, so that all pairs of row and component count."""

    d: int
    k: int
    family: Family = "full"

    @property
    def mixture(self) -> Parameters:
        """The mixture."""
        return replace(data.truth(self.d, self.k, self.family, distance=0.5), family=self.family)

    @staticmethod
    def parse(text: str) -> Shape:
        """Read d,k or d,k,family."""
        d, k, *family = text.split(",")
        if family and family[0] not in FAMILIES:
            raise argparse.ArgumentTypeError(f"{family[0]} is none of {', '.join(FAMILIES)}")
        return Shape(int(d), int(k), family[0]) if family else Shape(int(d), int(k))  # type: ignore[arg-type]


def references() -> tuple[dict[str, Callable[[int], object]], float, float]:
    """Return dgemm and memcpy, and their flops and bytes."""
    one, other, product = (np.random.default_rng(0).random((512, 512)) for _ in range(3))
    source, target = np.ones(4 << 20), np.ones(4 << 20)
    runs: dict[str, Callable[[int], object]] = {
        "dgemm": lambda _: np.matmul(one, other, out=product),
        "memcpy": lambda _: np.copyto(target, source),
    }
    return runs, 2 * 512.0**3, float(source.nbytes)


def measure(shape: Shape, choice: engines.Method, z: FloatArray, repeats: int) -> None:
    """Measure one shape on one path, and print its row."""
    mixture, block = shape.mixture, Block(z, None, Block(z).total)
    runs, flops, size = references()
    runs["pass"] = lambda _: kernel.accumulate([block], [mixture], precision=choice.precision)
    with mock.patch.object(kernel, "choose", return_value=choice):
        harness.interleave(runs, 1)
        timings = harness.interleave(runs, repeats)
    dgemm, memcpy, own = ([each.cpu for each in timings[name]] for name in ("dgemm", "memcpy", "pass"))
    features = feature_count(shape.d, choice.layout)
    work = 4 * features * shape.k * z.shape[1] / flops
    products = [work * each for each in dgemm]
    limits = [each + z.nbytes / size * copy for each, copy in zip(products, memcpy, strict=True)]
    harness.say(
        shape.d, shape.k, shape.family, features, choice.path, choice.precision,
        harness.Spread.of(each / z.shape[1] / shape.k * 1e9 for each in own),
        harness.Spread.of(flops / each / 1e9 for each in dgemm),
        f"{harness.ratio(products, own):.2f}", f"{harness.ratio(limits, own):.2f}",
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each shape."""
    parser = harness.parser(__doc__, {"shapes": [Shape(4, 8)], "flops": 1e7})
    parser.add_argument("--shapes", nargs="+", type=Shape.parse, default=[Shape(*each) for each in SHAPES])
    parser.add_argument("--precision", choices=get_args(engines.Precision), default="float64")
    parser.add_argument("--store", choices=get_args(engines.Precision), default="float64", help="how z is stored")
    parser.add_argument("--both", action="store_true", help="by product and by factor, whichever is chosen")
    parser.add_argument("--flops", type=float, default=3e9, help="of a pass: a tenth of a second")
    options = harness.parse_options(parser, argv)
    figures = ("ns per row and k", "dgemm GF/s", "of dgemm", "of limit")
    harness.head("d", "k", "family", "F", "path", "products", *figures)
    for shape in options.shapes:
        choice = engines.choose([shape.mixture], options.precision)
        fitting = options.flops / (4 * shape.k * feature_count(shape.d, choice.layout))
        rows = data.draw_rows(int(np.clip(fitting, 8192, 1 << 17)) // 768 * 768, shape.mixture)
        z = np.ascontiguousarray(rows.T, dtype=options.store)
        paths = [replace(choice, path=path) for path in ("product", "factor")] if options.both else [choice]
        for each in paths:
            measure(shape, each, z, options.repeats)


if __name__ == "__main__":
    main()
