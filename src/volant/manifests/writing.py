"""Objects as YAML that reads back as the same, whoever reads it.

Block style, kind, metadata and spec in this order, what is in them in the order that they come in. A text that could be
read as anything else, by YAML 1.1 or 1.2, is in quotes; one of several lines stands as a block where it can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

ORDER: Final = ("kind", "metadata", "spec")
_INDENT: Final = "  "

# Begins with a letter, has nothing that YAML looks at, and is no word that anybody takes for something else.
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_/.+@-]*(?:[ :](?! )[A-Za-z0-9_/.+@-]+)*")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_PRINTABLE: Final = "\x21-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
_BLOCK: Final = re.compile(rf"[{_PRINTABLE}](?:[\n {_PRINTABLE}]*[{_PRINTABLE}])?\n?")
_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def written(documents: Iterable[Mapping[str, Any]]) -> str:
    """The documents one after the other. Values are those of JSON."""
    return "---\n".join("\n".join(_lines(_ordered(one), "")) + "\n" for one in documents)


def _ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    first = {key: document[key] for key in ORDER if key in document}
    return first | {key: value for key, value in document.items() if key not in first}


def _lines(value: Any, indent: str) -> Iterator[str]:
    """A value that is not empty, on lines of its own."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _entry(f"{indent}{_text(str(key))}:", part, indent)
    elif isinstance(value, list | tuple) and value:
        for part in value:
            yield from _item(part, indent)
    else:
        yield f"{indent}{_scalar(value)}"


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        yield head
        yield from _lines(value, indent + _INDENT)
    elif isinstance(value, str) and "\n" in value and _BLOCK.fullmatch(value):
        yield f"{head} |{'' if value.endswith(chr(10)) else '-'}"
        yield from (f"{indent}{_INDENT}{line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        lines = list(_lines(value, indent + _INDENT))
        yield f"{indent}- {lines[0].removeprefix(indent + _INDENT)}"
        yield from lines[1:]
    else:
        yield from _entry(f"{indent}-", value, indent)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    # JSON's numbers, true, false, null, {} and [] mean the same in YAML.
    return json.dumps(value)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return _ESCAPED.sub(_escape, json.dumps(value, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
