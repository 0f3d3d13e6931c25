"""What changed between two values, as people read it: dotted paths, and what stood there before and after.

    changes(old, new) ──▶ {"resources.vcpu": {"old": 2, "new": 4}} ──redacted──▶ history, dry runs, events

Structs and mappings are walked, everything else is compared whole. A side that has nothing at a path is null, and an
empty object is nothing: it has no paths. A dot in a key (labels have them) is not escaped, because nobody takes these
paths apart.

Secrets never leave here in the clear once they are `redacted`: of each there is a digest, which tells that it changed
and nothing else. It is no seal: a short value can be guessed from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from volant.clock import Instant

Changes = dict[str, dict[str, Any]]
"""Dotted path -> `{"old": ..., "new": ...}`."""

CREATED: Mapping[str, Any] = {"created": True}
"""What stands in place of changes in the first entry of a history."""

MAX_DEPTH = 16
"""Steps of a path at most: what lies deeper is compared whole, because documents may be nested without end."""

_TEXTS = frozenset({"user_data", "meta_data", "network_config"})


class ConfigChange(Struct, frozen=True, kw_only=True):
    """One entry of the history of a VM's config: `changes` are redacted, or `CREATED`.

    `author` is who asked: `api`, or the name of a controller. `generation` is the one that came of it.
    """

    at: Instant
    author: str
    changes: dict[str, Any]
    generation: int
    request_id: str | None = None


def changes(old: Any, new: Any) -> Changes:
    """Where `old` and `new` differ, in the order of `new`, then what only `old` has. Empty when they are the same."""
    before, after = flat(old), flat(new)
    paths = [*after, *(path for path in before if path not in after)]
    return {
        path: {"old": before.get(path), "new": after.get(path)}
        for path in paths
        if not _is_same(before.get(path), after.get(path))
    }


def flat(value: Any) -> dict[str, Any]:
    """Dotted path -> what stands there, of everything that is not null."""
    return dict(_leaves(value, "", MAX_DEPTH))


def redacted(changed: Changes) -> Changes:
    """The same paths, with a digest of each secret in its place."""
    return {
        path: {side: digest(value) for side, value in sides.items()} if is_secret(path) else sides
        for path, sides in changed.items()
    }


def is_secret(path: str) -> bool:
    """Whether what stands at this path is not to be shown: the value of a variable, or a text for cloud-init."""
    steps = path.split(".")
    if "env" in steps[:-1]:
        return True
    return any(step == "cloud_init" and (not rest or rest[0] in _TEXTS) for step, *rest in _tails(steps))


def digest(value: Any) -> Any:
    """`sha256:` and 16 hexadecimal digits of a text; null as it is."""
    if value is None:
        return None
    return "sha256:" + hashlib.sha256(str(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def in_words(value: Any) -> str:
    """A value of a field in a sentence: as JSON, and `nothing` where there is none."""
    return "nothing" if value is None else msgspec.json.encode(value).decode()


def _is_same(old: Any, new: Any) -> bool:
    # 1 == True in Python, and not in JSON.
    return type(old) is type(new) and bool(old == new)


_PLAIN = frozenset((str, int, float, bool))
"""Types of most leaves: to know them at once saves asking whether they are something else."""


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if type(value) in _PLAIN:
        yield path, value
        return
    if isinstance(value, Struct):
        value = {name: getattr(value, field) for name, field in zip(*_names(value), strict=True)}
    if isinstance(value, Mapping) and depth:
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else str(key), depth - 1)
    elif value is not None and value is not UNSET:
        yield path, value


def _names(value: Struct) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return value.__struct_encode_fields__, value.__struct_fields__


def _tails(steps: list[str]) -> Iterator[list[str]]:
    return (steps[at:] for at in range(len(steps)))
