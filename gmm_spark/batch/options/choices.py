"""The options of a selection: which mixtures to fit, and how to choose one of them."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from gmm_spark.batch.options.option_types import Amount, Count  # noqa: TC001 - pydantic reads the annotations when it runs
from gmm_spark.batch.options.sections import Section
from gmm_spark.mixture.parameters import FAMILIES, Family
from gmm_spark.selection.evaluation import CRITERIA, Criterion

_RANGE = re.compile(r"(\d+)-(\d+)")
_MOST = 1000  # components: a typing error must not make a grid that is too large to fit


def _numbers(value: object) -> object:
    """Turn text such as 2-5,8 into numbers; leave any other value to the type check."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = json.loads(value)
    words = [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        return (words,) if isinstance(words, int) else words
    return tuple(number for word in words for number in _expanded(word))


def _expanded(word: object) -> tuple[object, ...]:
    bounds = _RANGE.fullmatch(word) if isinstance(word, str) else None
    if bounds is None:
        return (word,)
    first, last = int(bounds[1]), int(bounds[2])
    if first > last:
        raise ValueError(f"the smaller number first instead of {word}")
    # One number above the limit is enough: the type check refuses it.
    return tuple(range(first, max(first, min(last, _MOST + 1)) + 1))


def _words(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return FAMILIES if value == "all" else [word.strip() for word in value.split(",") if word.strip()]


def _unique(values: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(dict.fromkeys(values))


Numbers = Annotated[
    tuple[Annotated[int, Field(ge=1, le=_MOST)], ...],
    Field(min_length=1),
    NoDecode,
    AfterValidator(_unique),
    BeforeValidator(_numbers),
]
Families = Annotated[
    tuple[Family, ...], Field(min_length=1), NoDecode, AfterValidator(_unique), BeforeValidator(_words)
]


class GridConfig(Section):
    """The mixtures to fit: every family with every number of components."""

    k: Numbers = Field(description="Numbers of components, such as 2-11 or 2,3,5.")
    families: Families = Field(
        default=("full",), description=f"Covariance families: some of {', '.join(FAMILIES)}, or the word all."
    )
    finalists: Count = Field(
        default=1, ge=1, description="For each mixture, how many different optima of the sample are fitted to all rows."
    )


class ChoiceConfig(Section):
    """How one of the mixtures is chosen."""

    criterion: Literal[Criterion] = Field(
        default=CRITERIA[0],
        description="bic, aic or icl: the smallest wins; heldout: the largest wins; gain: components are added while "
        "each one gains least_gain.",
    )
    least_gain: Amount = Field(
        default=0.01, description="For the criterion gain: nats per row that each added component must gain."
    )
    holdout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the rows, chosen by a hash of the row, that no mixture is fitted to.",
    )
    folds: Count = Field(
        default=0,
        ge=0,
        description="Number of parts for cross-validation: each mixture is fitted once more without each part; 0: off.",
    )
    retire: bool = Field(
        default=True, description="Stop fits early if their mixtures can no longer win; the table marks them."
    )

    @model_validator(mode="after")
    def _held_out_once(self) -> ChoiceConfig:
        if self.holdout and self.folds:
            raise ValueError("one of choice.holdout and choice.folds")
        if self.folds == 1:
            raise ValueError("choice.folds of 0, or at least 2")
        if self.criterion == "heldout" and not (self.holdout or self.folds):
            raise ValueError("choice.holdout or choice.folds for the criterion heldout")
        return self
