"""The options of a fit; this module names what other packages use of them."""

from gmm_spark.options.fit_options import (
    BY_PARAM,
    OPTIONS,
    CheckpointOptions,
    Columns,
    InitMode,
    Options,
    Resume,
    errors_name_params,
    options_from_params,
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
    "errors_name_params",
    "options_from_params",
    "options_of",
]
