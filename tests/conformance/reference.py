"""The reference, read: every operation with all that is said of it, every error, every example.

    text ──markdown.parts──▶ parts ──read──▶ Reference

The reader is strict, because what it does not understand would not be tested: a label, a list item or a block in a
place that it does not know raises ValueError with its line. JSON is taken as printed; an object written `{ ... }` is an
empty one, and means any.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.conformance.markdown import Part, parts

FILE = Path(__file__).with_name("rest-api-reference.md")
LANGUAGES = frozenset({"bash", "python", "go", "javascript"})

_REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/\S+)")
_PARAMETER = re.compile(r"`(\w+)` \((optional|required)\): (.+)")
_ERROR = re.compile(r"`(\d{3})`: (.+)")
_EVENT = re.compile(r"`([a-z_.]+)` \S (.+)")
_ROW = re.compile(r"\| *(\d{3}) *\| *(.+?) *\|")
_ANSWER = re.compile(r"`(\d{3}) [A-Za-z ]+`(?: \((streaming)\))?")
_FRAME = re.compile(r"event: (\S+)\ndata: (.+)")
_BASE = re.compile(r"\*\*Base URL\*\*: `(\S+?)`")
_ELISION = re.compile(r"\{\s*\.\.\.\s*\}")


class Parameter(NamedTuple):
    """A query parameter. `choices` are the values in brackets, `default` the one that is said to hold without."""

    name: str
    is_optional: bool
    text: str
    choices: tuple[str, ...]
    default: str | None


class DocumentedError(NamedTuple):
    """One line of an error list."""

    status: int
    text: str


class Frame(NamedTuple):
    """One event of the example stream."""

    event: str
    data: dict[str, Any]


class Example(NamedTuple):
    """A block of code to be run, and where it stands."""

    language: str
    code: str
    line: int
    title: str


@dataclass(kw_only=True)
class Operation:
    """One method of one path. `body` and `answer` are the printed JSON, None where there is none."""

    title: str
    method: str
    path: str
    line: int
    parameters: list[Parameter] = field(default_factory=list)
    body: Any = None
    status: int = 0
    is_stream: bool = False
    media: str = "application/json"
    answer: Any = None
    errors: list[DocumentedError] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    event_types: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    @property
    def key(self) -> str:
        """`GET /api/v1/vms`."""
        return f"{self.method} {self.path}"

    def matches(self, method: str, path: str) -> bool:
        """Whether a request of `path` (without query) is one of these."""
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(self.path))
        return method == self.method and re.fullmatch(pattern, path) is not None


@dataclass(kw_only=True)
class Reference:
    """All of it. `success` is the answer printed before any operation, `error` the error body, `pages` the request."""

    base: str
    operations: list[Operation] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    statuses: dict[int, str] = field(default_factory=dict)
    success: Any = None
    error: Any = None
    pages: tuple[str, str] = ("", "")

    def operation(self, key: str) -> Operation:
        """That of `GET /api/v1/vms`. Raises KeyError."""
        return {operation.key: operation for operation in self.operations}[key]

    def asked(self, method: str, path: str) -> Operation:
        """That of a request. Raises LookupError for one that is not documented. A path in full beats a template."""
        found = [operation for operation in self.operations if operation.matches(method, path)]
        if not found:
            raise LookupError(f"no operation of the reference is {method} {path}")
        return min(found, key=lambda operation: operation.path.count("{"))


@cache
def reference() -> Reference:
    """That of the file beside this one."""
    return read(FILE.read_text())


def read(text: str) -> Reference:
    """The whole reference. Raises ValueError for what it does not understand."""
    base = _BASE.search(text)
    if base is None:
        raise ValueError("the reference does not say its base URL")
    found, operation = Reference(base=base[1]), None
    for part in parts(text):
        if part.kind == "heading":
            operation = None
        elif part.kind == "fence" and part.language == "http":
            operation = _operation(part)
            found.operations.append(operation)
        elif operation is not None:
            _of_operation(found, operation, part)
        else:
            _elsewhere(found, part)
    return found


def _operation(part: Part) -> Operation:
    request = _REQUEST.fullmatch(part.text.strip())
    if request is None:
        raise ValueError(f"line {part.line}: not a method and a path")
    return Operation(title=part.section[-1], method=request[1], path=request[2], line=part.line)


def _of_operation(found: Reference, operation: Operation, part: Part) -> None:
    match part.kind, part.label:
        case ("fence", _) if part.language in LANGUAGES:
            operation.examples.append(_example(found, part))
        case "item", "Query Parameters":
            operation.parameters.append(_parameter(part))
        case "item", "Errors":
            status, text = _fields(_ERROR, part)
            operation.errors.append(DocumentedError(int(status), text))
        case "item", "Event Types":
            operation.event_types.append(_fields(_EVENT, part)[0])
        case "fence", "Request Body" if part.language == "json":
            operation.body = _json(part)
        case "fence", "Response" if part.language == "json":
            operation.answer = _json(part)
        case "fence", "Event Format":
            operation.frames = _frames(part)
        case "label", "Response":
            status, streaming = _fields(_ANSWER, part)
            operation.status, operation.is_stream = int(status), streaming is not None
        case "label", "Content-Type":
            operation.media = part.text.strip("`")
        case "label", "Query Parameters" | "Request Body" | "Errors" | "Example" | "Event Format" | "Event Types":
            pass
        case "label", label if label.startswith("Example ("):
            pass
        case _:
            raise ValueError(f"line {part.line}: nobody knows what a {part.kind} under {part.label!r} is")


def _elsewhere(found: Reference, part: Part) -> None:
    """What stands outside of operations: the shape of success and failure, pages, statuses, whole programs."""
    place = part.section[-1] if part.section else ""
    match part.kind, place:
        case ("fence", _) if part.language in LANGUAGES:
            _example(found, part)
        case "fence", "Success Responses":
            found.success = _json(part)
        case "fence", "Error Response Format":
            found.error = _json(part)
        case "fence", "Pagination":
            method, target = _fields(_REQUEST, part)
            found.pages = method, target
        case "row", "HTTP Status Codes":
            if row := _ROW.fullmatch(part.text):
                found.statuses[int(row[1])] = row[2]
        case ("item", "Table of Contents" | "Next Steps") | ("label", "REST API Reference"):
            pass
        case _:
            raise ValueError(f"line {part.line}: nobody knows what a {part.kind} in {place!r} is")


def _example(found: Reference, part: Part) -> Example:
    example = Example(part.language, part.text, part.line, part.section[-1])
    found.examples.append(example)
    return example


def _parameter(part: Part) -> Parameter:
    name, need, text = _fields(_PARAMETER, part)
    bracket = re.search(r"\((.*)\)", text)
    words = re.findall(r"`(\w+)`", bracket[1]) if bracket else []
    has_default = bracket is not None and bracket[1].startswith("default:")
    choices, default = ((), words[0]) if has_default else (tuple(words), None)
    return Parameter(name, need == "optional", text, choices, default)


def _frames(part: Part) -> list[Frame]:
    frames = [Frame(event, json.loads(data)) for event, data in _FRAME.findall(part.text)]
    if len(frames) != part.text.count("data:"):
        raise ValueError(f"line {part.line}: not every event can be read")
    return frames


def _fields(pattern: re.Pattern[str], part: Part) -> tuple[Any, ...]:
    found = pattern.fullmatch(part.text.strip())
    if found is None:
        raise ValueError(f"line {part.line}: cannot read {part.text.strip()!r}")
    return found.groups()


def _json(part: Part) -> Any:
    try:
        return json.loads(_ELISION.sub("{}", part.text))
    except json.JSONDecodeError as error:
        raise ValueError(f"line {part.line}: not JSON: {error}") from None
