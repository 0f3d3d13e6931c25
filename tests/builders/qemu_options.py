"""A QEMU command line read back as QEMU 7.2 reads it, by a hand that shares nothing with the one that wrote it.

    leaves(["qemu", "-m", "32M", "-device", '{"driver":"pvpanic"}'])
      == {(0, ""): "qemu", (1, "-m"): "32M", (2, "-device.driver"): "pvpanic"}

Every option is one of three kinds: text that QEMU takes as it is, JSON, or `key=value` with commas in between, of which
two in a row are one that belongs to the value. What is none that we use is an error: an argument that became an option.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

TEXTS = frozenset({"-kernel", "-initrd", "-append", "-serial", "-display", "-cpu", "-m", "-smp", "-bios"})
LISTS = frozenset(
    {"-name", "-machine", "-accel", "-sandbox", "-action", "-chardev", "-mon", "-netdev", "-device", "-blockdev"}
    | {"-object", "-rtc", "-msg", "-global", "-boot", "-overcommit"}
)
FLAGS = frozenset({"-nodefaults", "-no-user-config", "-no-reboot", "-no-shutdown", "-nographic", "-S"})

Leaves = dict[tuple[int, str], str]
"""Number and path of everything that is said -> what is said."""


class Option(NamedTuple):
    """One option: a flag says nothing, a text itself, the others their keys and values in their order."""

    name: str
    said: tuple[tuple[str, str], ...] = ()


def options(argv: list[str]) -> list[Option]:
    """The options of a command line. Fails for what QEMU would take for an image, or for an option we never use."""
    words = iter(argv[1:])
    found = []
    for word in words:
        if word in FLAGS:
            found.append(Option(word))
        elif word in TEXTS:
            found.append(Option(word, (("", next(words)),)))
        elif word in LISTS:
            found.append(Option(word, _said(next(words))))
        else:
            raise AssertionError(f"{word!r} stands where an option should")
    return found


def leaves(argv: list[str]) -> Leaves:
    """All that is said, by number of its option and path."""
    found: Leaves = {(0, ""): argv[0]}
    for number, option in enumerate(options(argv), 1):
        found |= {(number, option.name): ""} if not option.said else {}
        for key, value in option.said:
            where = (number, f"{option.name}.{key}" if key else option.name)
            assert where not in found, f"{where} is said twice: the last one would win"
            found[where] = value
    return found


def changed(reference: Leaves, other: Leaves) -> dict[str, str]:
    """Path -> what `other` says where it differs; everything that only one of them says must not be."""
    assert list(reference) == list(other), set(reference) ^ set(other)
    return {path: other[number, path] for number, path in reference if reference[number, path] != other[number, path]}


def pairs(text: str) -> list[tuple[str, str]]:
    """`a,k=v,,w` -> `[("", "a"), ("k", "v,w")]`, as qemu_opts_parse does it; a later word without `=` is a switch."""
    parts, rest = [], text
    while True:
        value, rest = _value(rest)
        parts.append(value)
        if not rest:
            break
        rest = rest[1:]
    split = [part.partition("=") for part in parts]
    first = ("", parts[0]) if not split[0][1] else (split[0][0], split[0][2])
    return [first, *((key, value if is_said else "on") for key, is_said, value in split[1:])]


def _value(text: str) -> tuple[str, str]:
    """Up to the comma that ends it, and the rest with that comma."""
    taken: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == ",":
            if text[at + 1 : at + 2] != ",":
                return "".join(taken), text[at:]
            at += 1
        taken.append(text[at])
        at += 1
    return "".join(taken), ""


@lru_cache(maxsize=4096)
def _said(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(_flat(json.loads(text, object_pairs_hook=_once), "") if text.startswith("{") else pairs(text))


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(members)) == len(members), "a key is given twice"
    return dict(members)


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in inner:
            yield from _flat(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)
