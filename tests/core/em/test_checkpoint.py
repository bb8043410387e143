"""Checkpoints as text: exact, complete or refused, and safe to read when untrusted."""

from __future__ import annotations

import base64
import hashlib
import json
import resource
import time
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.em.checkpoint import decode_state, encode_state, most_bytes
from gmm_spark.errors import CheckpointError, GmmSparkError
from tests.core.em.test_states import accelerations, end_of, floors
from tests.core.mutations import CASES, bytes_of, values_of
from tests.strategies import Problem, engine, problems, random_problem

if TYPE_CHECKING:
    from collections.abc import Callable

IDENTITY = {"k": 3, "seed": 7, "tol": 1e-5, "features": ["x", "y"], "weight": None, "total weight": 0.1 + 0.2}
GOAL = em.Goal(1e-6, 12)


def states_of(problem: Problem, acceleration: em.Acceleration = "squarem", floor: float = 0.0) -> list[em.State]:
    """Return every state of a fit, from its start to its end."""
    frame = problem.frame
    states = [em.begin(frame.inward(problem.start), acceleration)]
    em.run(engine(problem, frame), states[0], em.Maximiser(frame, floor), GOAL, lambda state, _: states.append(state))
    return states


def sealed(lines: list[str]) -> list[str]:
    """Return the lines with a valid checksum, as someone who knows the format can write them."""
    return [*lines, json.dumps({"sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()})]


@given(problems(most=3), accelerations, floors)
def test_a_state_reads_back_to_the_bit(problem: Problem, acceleration: em.Acceleration, floor: float) -> None:
    """A fit that is resumed from any stored state ends with the same bits as the fit without interruption."""
    frame, states = problem.frame, states_of(problem, acceleration, floor)
    whole = states[-1].fit
    for state in states:
        decoded = decode_state(encode_state(state, IDENTITY), IDENTITY, "there")
        assert encode_state(decoded, IDENTITY) == encode_state(state, IDENTITY)
        assert end_of(em.run(engine(problem, frame), decoded, em.Maximiser(frame, floor), GOAL)) == end_of(whole)


@given(problems(most=3))
def test_its_size_is_known_before_it_is_read(problem: Problem) -> None:
    """No state takes more than `most_bytes`, and `most_bytes` is not much larger."""
    k, d = problem.start.means.shape
    sizes = [sum(len(line) + 1 for line in encode_state(state, IDENTITY)) for state in states_of(problem)]
    assert max(sizes) <= most_bytes(k, d, GOAL.max_iter) <= 100_000 + 10 * max(sizes)


def test_the_checkpoint_of_another_fit_is_refused() -> None:
    """The error names each option or number of the data that differs, with both values."""
    lines = encode_state(states_of(random_problem(1, "full", 2, 2))[3], IDENTITY)
    other = {**IDENTITY, "seed": 8, "features": ["x", "z"]}
    with pytest.raises(CheckpointError) as refused:
        decode_state(lines, other, "there")
    assert "seed 7 in the checkpoint, 8 in this fit" in str(refused.value)
    assert 'features ["x", "y"] in the checkpoint, ["x", "z"] in this fit' in str(refused.value)
    assert "tol" not in str(refused.value)


@given(st.data())
def test_a_cut_or_changed_checkpoint_is_refused(data: st.DataObject) -> None:
    """A prefix of a checkpoint, or one with a changed character, is refused."""
    text = "\n".join(encode_state(states_of(random_problem(1, "diag", 2, 2))[4], IDENTITY))
    at = data.draw(st.integers(0, len(text) - 1))
    if data.draw(st.booleans()):
        changed = text[:at]
    else:
        changed = text[:at] + data.draw(st.characters(codec="ascii").filter(lambda c: c != text[at])) + text[at + 1 :]
    with pytest.raises(CheckpointError):
        decode_state(changed.split("\n"), IDENTITY, "there")


def numbers(*values: float) -> str:
    """Return an array as it is stored in checkpoints."""
    return base64.b64encode(np.array(values, dtype="<f8").tobytes()).decode()


LIES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "not positive definite": lambda lines: lines[0].update(covariances=numbers(*[-1.0] * 8)),
    "not finite": lambda lines: lines[0].update(means=numbers(*[float("nan")] * 4)),
    "too short": lambda lines: lines[0].update(means=numbers(1.0)),
    "not base64": lambda lines: lines[0].update(weights="!" * len(lines[0]["weights"])),
    "immense": lambda lines: lines[0].update(parameters=[10**6, 10**6, "full"]),
    "negative": lambda lines: lines[0].update(parameters=[-2, -2, "full"]),
    "immense statistics": lambda lines: next(x for x in lines if "moments" in x).update(
        moments=[1, 10**5, "quadratic"], centers=numbers(*[0.0] * 10**5)
    ),
    "an unknown layout": lambda lines: next(x for x in lines if "moments" in x).update(moments=[2, 2, "os.system"]),
    "an unknown field": lambda lines: lines[-1]["state"].update(code="import os"),
    "a missing field": lambda lines: lines[-1]["state"]["position"].pop("limit"),
    "another type": lambda lines: lines[-1]["state"]["position"].update(limit="4"),
    "an unknown phase": lambda lines: lines[-1]["state"]["position"].update(phase="jump"),
    "an unknown outcome": lambda lines: lines[-1]["state"].update(outcome="fine"),
    "a line that is not there": lambda lines: lines[-1]["state"]["position"].update(candidate=99),
    "a line before the first": lambda lines: lines[-1]["state"]["position"].update(candidate=-1),
    "statistics for parameters": lambda lines: lines[-1]["state"]["position"].update(
        candidate=next(i for i, line in enumerate(lines) if "moments" in line)
    ),
    "nothing to step from": lambda lines: lines[-1]["state"]["position"].update(before=None),
    "a history without a best": lambda lines: lines[-1]["state"]["trace"].update(best=None),
    "a list for the state": lambda lines: lines[-1].update(state=[]),
    "another format": lambda lines: lines[-1].update(format=99),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_valid_checksum_does_not_make_a_checkpoint_valid(lie: str) -> None:
    """An impossible state is refused despite a valid checksum, with a GmmSparkError; nothing is allocated or run."""
    lines = [json.loads(line) for line in encode_state(states_of(random_problem(1, "full", 2, 2))[1], IDENTITY)[:-1]]
    assert decode_state(sealed([json.dumps(line) for line in lines]), IDENTITY, "there").trace.history
    LIES[lie](lines)
    with pytest.raises(CheckpointError):
        decode_state(sealed([json.dumps(line) for line in lines]), IDENTITY, "there")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_any_json_is_refused(value: object) -> None:
    """Any other JSON with a valid checksum is refused."""
    for lines in ([json.dumps(value)], [json.dumps({"format": 1, "identity": IDENTITY, "state": value})]):
        with pytest.raises(CheckpointError):
            decode_state(sealed(lines), IDENTITY, "there")


def flipped(lines: list[str], random: Random) -> list[str]:
    """Return a checkpoint with changed bytes."""
    return bytes_of("\n".join(lines).encode(), random).decode("utf-8", "replace").split("\n")


def forged(lines: list[str], random: Random) -> list[str]:
    """Return a checkpoint with other values and a valid checksum."""
    return sealed([json.dumps(line) for line in values_of([json.loads(line) for line in lines[:-1]], random)])


def poisoned(lines: list[str], random: Random) -> list[str]:
    """Return a checkpoint with other numbers in one of its arrays, and a valid checksum."""
    trees = [json.loads(line) for line in lines[:-1]]
    line = random.choice(trees[:-1])
    name = random.choice([name for name, value in line.items() if isinstance(value, str)])
    array = np.frombuffer(base64.b64decode(line[name]), dtype="<f8").copy()
    for _ in range(random.randrange(1, 4)):
        values = [0.0, -1.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), random.gauss(0, 1), 1e9]
        array[random.randrange(len(array))] = random.choice(values)
    line[name] = numbers(*array)
    return sealed([json.dumps(tree) for tree in trees])


@pytest.mark.parametrize("mutated", [flipped, forged, poisoned])
def test_a_hostile_checkpoint_is_refused_or_can_be_resumed(
    mutated: Callable[[list[str], Random], list[str]],
) -> None:
    """Any content gives a GmmSparkError or a state from which a fit can end; quickly, in little memory."""
    problem = random_problem(1, "full", 2, 2)
    checkpoints = [encode_state(state, IDENTITY) for state in states_of(problem)[:6]]
    before, read, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, 0.0
    for case in range(CASES):
        random, began = Random(case), time.process_time()  # noqa: S311 - to be repeatable
        lines, message = mutated(random.choice(checkpoints), random), ""
        try:
            state = decode_state(lines, IDENTITY, "there")
            read += 1
            with np.errstate(all="ignore"):
                em.run(engine(problem, problem.frame), state, em.Maximiser(problem.frame, 1e-6), GOAL)
        except GmmSparkError as error:
            message = str(error)
        except Exception as error:
            raise AssertionError(f"case {case} of {mutated.__name__}") from error
        assert message.isprintable()
        assert len(message) < 10_000
        slowest = max(slowest, time.process_time() - began)
    assert read < CASES
    assert read > 0 or mutated is flipped
    assert slowest < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024
