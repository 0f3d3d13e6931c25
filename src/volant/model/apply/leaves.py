"""A document as its leaves: JSON pointer -> value.

    {"spec": {"replicas": 3, "config": {"env": {"A": "1"}}}}  ⇄  {"/spec/replicas": 3, "/spec/config/env/A": "1"}

Objects are walked, everything else is a leaf, lists among it. Null and an empty object are nothing: they have no leaf.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Leaves = dict[str, Any]

_PLAIN = frozenset((str, int, float, bool, list, tuple))


def leaves(document: Mapping[str, Any]) -> Leaves:
    """Every leaf of a document of builtins, in its order."""
    found: Leaves = {}
    _walk(document, "", found)
    return found


def nested(said: Mapping[str, Any]) -> dict[str, Any]:
    """The document that has these leaves."""
    document: dict[str, Any] = {}
    for pointer, value in said.items():
        steps = pointer.split("/")
        *parents, last = steps[1:] if "~" not in pointer else map(_unescaped, steps[1:])
        place = document
        for step in parents:
            found = place.get(step)
            if found is None:
                found = place[step] = {}
            place = found
        place[last] = value
    return document


def dotted(pointer: str) -> str:
    """As people read a path: `/spec/config/env/A` -> `config.env.A`; what is not of the spec keeps its beginning."""
    return pointer.removeprefix("/spec").removeprefix("/metadata").removeprefix("/").replace("/", ".")


def _walk(value: Mapping[str, Any], pointer: str, found: Leaves) -> None:
    """Puts every leaf into `found`. An apply of a thousand objects walks thousands of documents, empty for the most."""
    for key, part in value.items():
        if part is None:
            continue
        kind = type(part)
        # The first is faster to ask, and builtins are what documents are made of.
        if kind is dict or (kind not in _PLAIN and isinstance(part, Mapping)):
            if part:
                _walk(part, f"{pointer}/{_escaped(key)}", found)
        else:
            found[f"{pointer}/{_escaped(key)}"] = part


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1") if "/" in key or "~" in key else key


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
