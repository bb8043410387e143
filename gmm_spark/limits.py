"""The sizes from which a fit goes another way: how much the driver, a task, a file or a plan is given to hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes and numbers that decide how a fit is carried out; the model is the same but for the last digits.

    Args:
        sample_bytes: the most that a sample of the rows may take.
        short_sample_bytes: enough for one where even the most would not bring its error to tol: then all rows have
            something to do anyway.
        statistics_bytes: of all partitions, that come to the driver; tasks add larger ones first. Nor may they near
            the limit that Spark sets to what a job brings to the driver.
        survey_bytes: of the products in a survey; tasks add larger ones of some partitions first.
        survey_run: how many partitions these are.
        block_bytes: of a block. 1 to 4 MB cost the same to move; a cached columnar batch closes at 4 MiB.
        least_filed_bytes: of a table; a smaller one is moved to Python as fast as its files would be found.
        free_disk: the share of a disk that is left to Spark, whose own blocks and shuffles need it more.
        task_bytes: of the blocks that a task reads in a pass.
        least_tasks: in a pass, as far as there are partitions. A Python task costs about 20 ms: a pass over many small
            partitions reads several of them in one. The number does not depend on the cores, for the statistics are
            added in the order of the tasks.
        carried_bytes: of a value in the function of a job; of a closure of a megabyte Spark makes a broadcast that
            nothing destroys.
        task_operations: floating-point operations of a search's short runs; fewer than that are made by the driver.
            A job with its tasks takes about 0.1 s, this many operations of one core.
    """

    sample_bytes: int = 64 << 20
    short_sample_bytes: int = 16 << 20
    statistics_bytes: int = 64 << 20
    survey_bytes: int = 8 << 10
    survey_run: int = 64
    block_bytes: int = 2 << 20
    least_filed_bytes: int = 16 << 20
    free_disk: float = 0.05
    task_bytes: int = 32 << 20
    least_tasks: int = 32
    carried_bytes: int = 64 << 10
    task_operations: float = 1e10


LIMITS = Limits()
