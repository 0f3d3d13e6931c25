"""A document as its leaves: JSON pointer -> value.

    {"spec": {"replicas": 3, "config": {"env": {"A": "1"}}}}  ⇄  {"/spec/replicas": 3, "/spec/config/env/A": "1"}

Objects are walked, everything else is a leaf, lists among it. Null and an empty object are nothing: they have no leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Leaves = dict[str, Any]


def leaves(document: Mapping[str, Any]) -> Leaves:
    """Every leaf of a document of builtins, in its order."""
    return dict(_walk(document, ""))


def nested(said: Mapping[str, Any]) -> dict[str, Any]:
    """The document that has these leaves."""
    document: dict[str, Any] = {}
    for pointer, value in said.items():
        *parents, last = (_unescaped(step) for step in pointer.split("/")[1:])
        place = document
        for step in parents:
            place = place.setdefault(step, {})
        place[last] = value
    return document


def dotted(pointer: str) -> str:
    """As people read a path: `/spec/config/env/A` -> `config.env.A`; what is not of the spec keeps its beginning."""
    return pointer.removeprefix("/spec").removeprefix("/metadata").removeprefix("/").replace("/", ".")


def _walk(value: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, Any]]:
    for key, part in value.items():
        at = f"{pointer}/{_escaped(str(key))}"
        if isinstance(part, Mapping):
            yield from _walk(part, at)
        elif part is not None:
            yield at, part


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
