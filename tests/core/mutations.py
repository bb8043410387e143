"""Hostile copies of files, which fuzz tests pass to readers of untrusted input."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

CASES = int(os.environ.get("GMM_SPARK_FUZZ", "200"))  # scripts/fuzz.sh sets 10,000

HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 0.0, -0.0, 0.5, -1.5, 1e-320, 1e308, -1e308, 1e150,
    float("nan"), float("inf"), "", "x", "0.5", "../../etc/passwd", "/dev/zero", "file:///etc/passwd", "a\n\x1b[31mb",
    "\ud800", "\u202e", "${env:HOME}", "${env:}", "$" * 1000, [], {}, [[]], [None], [[[[[[1]]]]]], {"": {}},
    {"component": 0}, [1e308] * 50, ["x"] * 50, list(range(1000)),
]  # fmt: skip


def bytes_of(data: bytes, random: Random) -> bytes:
    """Return the bytes with some flipped, cut, doubled or inserted."""
    how, at = random.randrange(6), random.randrange(len(data) + 1)
    if how == 0:
        at = min(at, len(data) - 1)
        return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]
    if how == 1:
        return data[:at]
    if how == 2:
        return data + data[at:]
    if how == 3:
        return data[:at] + random.randbytes(random.randrange(1, 20)) + data[at:]
    if how == 4:
        return data[:at] + random.choice([b"[", b'{"a":', b"- ", b"&a *a ", b"9" * 9]) * 20_000 + data[at:]
    return data[:at] + random.choice([b"\n", b"\0", b'"', b"}", b"]", b",", b"\xff\xfe", b"NaN", b"1e999"]) + data[at:]


def values_of(tree: Any, random: Random) -> Any:  # noqa: ANN401 - a JSON value
    """Return a copy of a JSON value with one to three of its parts replaced, removed, doubled or renamed."""
    result = copy.deepcopy(tree)
    for _ in range(random.randrange(1, 4)):
        holder, key = random.choice(list(_places(result)) or [({"": result}, "")])
        how = random.randrange(5)
        if how == 0 and isinstance(holder, dict):
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[str(random.choice(HOSTILE))[:50]] = holder.pop(key)
        elif how == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif how == 3 and isinstance(holder, list):
            del holder[key]
        else:
            holder[key] = copy.deepcopy(random.choice(HOSTILE))
    return result


def _places(node: Any) -> Any:  # noqa: ANN401 - pairs of a container and a key or an index
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from _places(value)


def model_files(header: dict[str, Any], lines: list[Any]) -> tuple[str, list[str]]:
    """Return metadata and component lines with a valid checksum, as a forger can write them."""
    plain = {name: value for name, value in header.items() if name != "sha256"}
    text = [json.dumps(line) for line in lines]
    whole = "\n".join([json.dumps(plain, sort_keys=True), *text])
    return json.dumps({"uid": "u", "gmm_spark": {**plain, "sha256": hashlib.sha256(whole.encode()).hexdigest()}}), text


def hostile_entry(folder: Path, random: Random) -> None:
    """Put a file that is no part of a model into the folder of a model."""
    name = folder / f"part-{random.choice(['0', '00000', 'x', '~'])}"
    for old in random.sample(list(folder.iterdir()), random.randrange(2)):
        old.unlink()
    name.unlink(missing_ok=True)
    how = random.randrange(6)
    if how == 0:
        os.mkfifo(name)  # opening it never returns
    elif how == 1:
        name.symlink_to("/dev/zero")
    elif how == 2:
        name.symlink_to(name)
    elif how == 3:
        name.mkdir()
    elif how == 4:
        with name.open("wb") as file:
            file.truncate(1 << 40)  # a terabyte of nothing
    else:
        name.symlink_to("/etc/passwd")
