"""Errors teach: what, got, expected, do; and they survive the way from an executor to the driver."""

from __future__ import annotations

import pickle

import pytest

from gmm_spark import errors
from gmm_spark.errors import MAX_CHARACTERS, ConfigurationError, GmmSparkError, options_called

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GmmSparkError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_what_got_expected_and_do(kind: type[GmmSparkError]) -> None:
    """All four parts are in the message, in that order, and are attributes."""
    error = kind("column 'a'", got=["text"], expected="numbers", do="Cast it.")
    assert str(error) == "column 'a': got ['text']; expected numbers. Cast it."
    assert (error.what, error.got, error.expected, error.do) == ("column 'a'", ["text"], "numbers", "Cast it.")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("kind", KINDS)
def test_no_part_of_an_error_is_long(kind: type[GmmSparkError]) -> None:
    """Whatever an untrusted file put into it, the text and its pickle stay short; escapes count too."""
    for long in ("x" * 300_000, "\x1b[2J" * 100_000, "\u2028" * 100_000):
        error = kind(long, got=long, expected=long, do=long)
        assert len(str(error)) <= 4 * MAX_CHARACTERS + 30
        assert len(repr(error)) <= 6 * MAX_CHARACTERS
        assert len(pickle.dumps(error)) <= 16 * MAX_CHARACTERS
        assert str(error).isprintable()
        assert "(300000 characters)" in str(kind("x" * 300_000, got=1, expected="2", do="3"))
    whole = kind("columns", got=["name"] * 10_000, expected="1", do="2")
    assert len(str(whole)) <= MAX_CHARACTERS + 50
    assert len(whole.got) == 10_000  # type: ignore[arg-type] # it is that list


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_pickles(kind: type[GmmSparkError]) -> None:
    """Type, parts and message are the same after a pickle."""
    error = kind("rows", got=3, expected="4", do="Add one.", options=["k"])
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our bytes
    assert type(back) is kind
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_each_layer_names_options_as_it_calls_them() -> None:
    """An error keeps its text; its options get the names of each layer around, and go where that has none."""
    error = ConfigurationError("rows", got=3, expected="4", do="Add one.", options=["k", "tol", "family"])
    text = "rows: got 3; expected 4. Add one."
    assert str(error) == f"{text} Options: k, tol, family."
    params = {"k": "k", "tol": "tol", "family": "covarianceType"}
    with pytest.raises(ConfigurationError, match="covarianceType") as caught, options_called(params.__getitem__):
        raise error
    assert caught.value is error
    assert str(error) == f"{text} Options: k, tol, covarianceType."
    keys = {"k": "grid.k", "tol": "", "covarianceType": "grid.families"}
    with pytest.raises(ConfigurationError), options_called(keys.__getitem__):
        raise error
    assert str(error) == f"{text} Options: grid.k, grid.families."
    with pytest.raises(ConfigurationError), options_called(lambda _: ""):
        raise error
    assert str(error) == error.sentences == text
