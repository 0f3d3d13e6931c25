"""What a block of bash asks for: its paragraphs, and the curl requests in each.

Paragraphs are what blank lines part. In the reference each shows one way to do it ("Graceful stop", "Force stop"), so
each is run by itself; what one leaves in the working directory is there for the next.
"""

from __future__ import annotations

import json
import shlex
from typing import Any, NamedTuple
from urllib.parse import urlsplit

ENDS = frozenset({"|", "||", "&&", ";", ">", ">>"})


class Asked(NamedTuple):
    """One request: as curl would send it, or as the reference prints it."""

    method: str
    path: str
    query: str = ""
    body: Any = None

    @property
    def name(self) -> str:
        """Whom it is about: the name in its body, else the last segment of its path that is one."""
        if isinstance(self.body, dict) and "name" in self.body:
            return str(self.body["name"])
        segments = self.path.strip("/").split("/")[2:]
        return segments[1] if len(segments) > 1 else ""


def paragraphs(code: str) -> list[str]:
    """The code between blank lines, each with its newline at the end."""
    return [part.strip("\n") + "\n" for part in code.split("\n\n") if part.strip()]


def words(paragraph: str) -> list[str]:
    """The words as the shell splits them, without comments."""
    lexer = shlex.shlex(paragraph.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def requests(paragraph: str) -> list[Asked]:
    """Every curl in it. Raises ValueError for an option that nobody knows."""
    found, rest = [], words(paragraph)
    while "curl" in rest:
        rest = rest[rest.index("curl") + 1 :]
        end = next((i for i, word in enumerate(rest) if word in ENDS or word == "curl"), len(rest))
        found.append(_request(rest[:end]))
        rest = rest[end:]
    return found


def _request(arguments: list[str]) -> Asked:
    method, url, body = "GET", "", None
    left = iter(arguments)
    for word in left:
        if word == "-X":
            method = next(left)
        elif word == "-H":
            next(left)
        elif word == "-d":
            text = next(left)
            # A file is the test's to provide: what is in it is not said here.
            body = None if text.startswith("@") else json.loads(text)
        elif word.startswith("http"):
            url = word
        elif word != "-N":
            raise ValueError(f"nobody knows what curl does with {word!r}")
    parts = urlsplit(url)
    return Asked(method, parts.path, parts.query, body)
