"""The sizes that decide how a fit is carried out: limits of the driver, of tasks, of files and of plans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes and numbers that decide how a fit is carried out; they change only the last digits of the model.

    Args:
        sample_bytes: the most bytes of a sample of the rows.
        short_sample_bytes: bytes of a sample whose error could not reach tol even with the most bytes: then EM on all
            rows has work to do anyway.
        statistics_bytes: the most bytes of the statistics of all partitions that go to the driver; tasks add larger
            statistics first. They must also stay far below Spark's limit for the results of a job.
        survey_bytes: the most bytes of the products in a survey; tasks first add larger ones of several partitions.
        survey_run: the number of these partitions.
        block_bytes: bytes of a block. 1 to 4 MB cost the same to move; a cached columnar batch closes at 4 MiB.
        least_filed_bytes: the least bytes of a table for block files; a smaller table moves to Python as fast as its
            files could be found.
        free_disk: the share of a disk that is left to Spark, whose own blocks and shuffles need it more.
        task_bytes: the most bytes of the blocks that a task reads in a pass.
        least_tasks: the least tasks of a pass, if there are as many partitions. A Python task costs about 20 ms: with
            many small partitions a task reads several. The number does not depend on the cores, because the statistics
            are added in the order of the tasks.
        carried_bytes: the most bytes of a value in the closure of a job; from a closure of a megabyte Spark makes a
            broadcast that is never destroyed.
        task_operations: floating-point operations of a search's short runs; the driver does fewer than that itself. A
            job with its tasks takes about 0.1 s, the time of this many operations on one core.
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
