"""The types of options: texts, lists of column names as each layer writes them, limited numbers."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word.strip() for word in value.split(",") if word.strip()]


def _distinct(names: tuple[str, ...] | str) -> tuple[str, ...] | str:
    if names != "all" and len(set(names)) < len(names):
        raise ValueError("a list that names each column once")
    return names


def _all_or_names(value: object) -> object:
    return "all" if value == ["all"] else value


Text = Annotated[str, Field(min_length=1)]
# With NoDecode the text of environment and command line reaches _split, so that a,b works in all layers.
Names = Annotated[tuple[Text, ...], NoDecode, AfterValidator(_distinct), BeforeValidator(_split)]
ColumnsOrAll = Annotated[
    Literal["all"] | tuple[Text, ...],
    NoDecode,
    AfterValidator(_distinct),
    BeforeValidator(_all_or_names),
    BeforeValidator(_split),
]
Value = str | bool | int | float
# The limits of Spark's params and the JVM: a larger number would fail there, in the middle of the job.
Count = Annotated[int, Field(le=2**31 - 1)]
Long = Annotated[int, Field(le=2**63 - 1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
