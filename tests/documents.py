"""The documents: their blocks of code, their links and the paths that they name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUIDES = ("README.md", "jobs/README.md", "gmm_spark/README.md", "scripts/README.md")  # their code is run
DOCUMENTS = (*GUIDES, "CONTRIBUTING.md", "CHANGELOG.md")

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
# A word that starts with a folder of the repository, or is a document or script at its root.
_PATH = re.compile(r"(?<![\w/.=-])((?:gmm_spark|jobs|conf|scripts|tests|\.ci)/[\w./*-]*\w|pyproject\.toml|[A-Z]+\.md)")


@dataclass(frozen=True)
class Block:
    """A block of code in a document.

    Args:
        document: path from the root of the repository.
        language: bash, python or text; text is what the block before it prints.
        code: its lines.
    """

    document: str
    language: str
    code: str


def text(document: str) -> str:
    """Return the text of a document."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[Block]:
    """Return the blocks of code of a document in their order."""
    return [Block(document, language, code) for language, code in _FENCED.findall(text(document))]


def prose(document: str) -> str:
    """Return a document without its blocks of code."""
    return _FENCED.sub("", text(document))


def links(document: str) -> list[str]:
    """Return the targets of the links of a document."""
    return _LINK.findall(prose(document))


def paths(document: str) -> list[str]:
    """Return the files and folders of the repository that a document names, in prose and commands."""
    spans = _SPAN.findall(prose(document))
    commands = [block.code for block in blocks(document) if block.language == "bash"]
    return [path for words in (*spans, *commands) for path in _PATH.findall(words)]


def anchors(document: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shape(line: str) -> str:
    """Return a printed line without its numbers, its paths and the widths of its columns."""
    return " ".join(re.sub(r"file:\S*/|-?\d[\d,.]*", "#", line).split())
