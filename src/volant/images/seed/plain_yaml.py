"""YAML of users, read without harm, and YAML for guests, written without surprises.

Read: one document without anchors, tags of Python or deep nesting, so that what it becomes is not larger than what it
was. Written: the strings of JSON with everything outside ASCII escaped in YAML's way. JSON is almost YAML: of the
characters that JSON leaves as they are, some may not stand in YAML, and above U+FFFF they disagree on escapes.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

MAX_CHARACTERS: Final = 128 << 10
MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000
MAX_BITS: Final = 128

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ESCAPED: Final = re.compile(r"[\x7f-\U0010ffff]")


def read(text: str) -> Any:
    """What the text says: dicts, lists, strings, numbers. Raises ValueError, with the reason, for what is not read.

    The reason names a place at most and never repeats what is there, because that may be a secret.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it is longer than {MAX_CHARACTERS} characters")
    try:
        _check(text)
        value = _LOADER(text).get_single_data()
        _check_numbers(value)
        return value
    except yaml.YAMLError as error:
        raise ValueError("it is not valid YAML" + _where(error)) from None
    except (RecursionError, ValueError, OverflowError) as error:
        # A date that no calendar has, a number that no machine holds.
        raise ValueError(str(error) if isinstance(error, _Refused) else "it has a value that cannot be read") from None


def written(value: dict[str, Any]) -> str:
    """The value as a document that every reader of YAML takes for the same."""
    return _ESCAPED.sub(_escape, json.dumps(_plain(value), ensure_ascii=False, indent=1)) + "\n"


def _plain(value: object) -> object:
    """What JSON has a word for. Dates become text; keys become text."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


class _Refused(ValueError):
    """YAML that is valid and not read."""


def _check(text: str) -> None:
    # By events, which come one at a time: neither depth nor aliases have cost anything before they are refused.
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise _Refused("it uses aliases, which are not read")
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _Refused(f"it is nested deeper than {MAX_DEPTH}")
        if nodes > MAX_NODES:
            raise _Refused(f"it has more than {MAX_NODES} values")


def _check_numbers(value: object) -> None:
    """A number in hexadecimal may have more digits than Python writes in decimal, or wants to."""
    if isinstance(value, dict):
        _check_numbers(list(value))
        _check_numbers(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for inner in value:
            _check_numbers(inner)
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise _Refused(f"it has a number of more than {MAX_BITS} bits")


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" (line {mark.line + 1})" if mark is not None else ""


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
