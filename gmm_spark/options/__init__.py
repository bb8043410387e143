"""The options of a fit; what other packages use of them is named here."""

from gmm_spark.options.of_a_fit import (
    BY_PARAM,
    OPTIONS,
    CheckpointOptions,
    Columns,
    InitMode,
    Options,
    Resume,
    by_params,
    params_named,
)
from gmm_spark.options.option import Option, options_of

__all__ = [
    "BY_PARAM",
    "OPTIONS",
    "CheckpointOptions",
    "Columns",
    "InitMode",
    "Option",
    "Options",
    "Resume",
    "by_params",
    "options_of",
    "params_named",
]
