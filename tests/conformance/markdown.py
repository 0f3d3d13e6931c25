"""Markdown as a row of parts: the little of it that a reference is written in.

Parts know their place: the headings above them, and the last bold label (`**Errors**:`) of their section. Prose is left
out. Lines count from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

PartKind = Literal["heading", "label", "item", "row", "fence"]

_HEADING = re.compile(r"(#{1,6}) +(.+)")
_LABEL = re.compile(r"\*\*([^*]+)\*\*: *(.*)")
_FENCE = re.compile(r"```(\w*)")


class Part(NamedTuple):
    """One part; `text` is that of the heading, item or row, the code of a fence, or what follows a label."""

    kind: PartKind
    text: str
    line: int
    section: tuple[str, ...]
    label: str = ""
    language: str = ""


def parts(text: str) -> Iterator[Part]:
    """Every part in order. Raises ValueError for a fence that does not end."""
    section: tuple[str, ...] = ()
    label = ""
    lines = enumerate(text.split("\n"), 1)
    for number, line in lines:
        if found := _HEADING.fullmatch(line):
            section, label = (*section[: len(found[1]) - 1], found[2]), ""
            yield Part("heading", found[2], number, section)
        elif found := _LABEL.fullmatch(line):
            label = found[1]
            yield Part("label", found[2], number, section, label)
        elif found := _FENCE.fullmatch(line):
            yield Part("fence", _code(lines, number), number, section, label, found[1])
        elif line.startswith("- "):
            yield Part("item", line[2:], number, section, label)
        elif line.startswith("|"):
            yield Part("row", line, number, section, label)


def _code(lines: Iterator[tuple[int, str]], began: int) -> str:
    code: list[str] = []
    for _, line in lines:
        if line == "```":
            return "\n".join(code) + "\n"
        code.append(line)
    raise ValueError(f"the block that begins in line {began} does not end")
