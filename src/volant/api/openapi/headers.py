"""The headers of requests and answers, and which of them an operation has.

Which ones follows from what it is: a write takes an idempotency key, a write to something that exists takes If-Match, a
list is counted. Each is described once, in `components`, and referred to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "format": "int64", "minimum": 0}


def _asked(name: str, description: str, schema: Schema) -> Schema:
    # Without examples: tools send them, and a revision or a key that somebody made up is refused.
    return {"name": name, "in": "header", "description": description, "schema": schema}


REQUEST: Mapping[str, Schema] = {
    "IfMatch": _asked(
        "If-Match",
        "The ETag that was read: the write is made only while the object is still at that revision, else 412. "
        "Several with commas between; `*` is any.",
        _TEXT,
    ),
    "IfNoneMatch": _asked(
        "If-None-Match",
        "An ETag that the caller has already: 304 without a body while it is still the current one.",
        _TEXT,
    ),
    "IdempotencyKey": _asked(
        "Idempotency-Key",
        "Any text that names this request. The same key and request within 24 hours are answered with the first "
        "answer, and nothing is done again.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    ),
    "RequestId": _asked(
        "X-Request-Id",
        "A name for this request, shown in its answer, in the log and on its events: 1 to 64 letters, digits, `.`, "
        "`_`, `:` or `-`. Any other is replaced.",
        _TEXT,
    ),
    "LastEventId": _asked(
        "Last-Event-ID",
        "The id of the last event that was received: the stream goes on after it. An EventSource sends it by itself.",
        {"type": "string", "minLength": 1, "maxLength": 15, "pattern": "^[0-9]+$"},
    ),
}
"""Parameters, by their name in `components`."""


def _given(description: str, schema: Schema, example: Any, *, required: bool = False) -> Schema:
    return {
        "description": description,
        **({"required": True} if required else {}),
        "schema": schema,
        "example": example,
    }


ANSWER: Mapping[str, Schema] = {
    "X-Request-Id": _given("The name of this request.", _TEXT, "6d008ecf49c4-9", required=True),
    "ETag": _given("The revision of what is shown. A dry run has none.", _TEXT, '"42"'),
    "Location": _given("The path of what was made.", _TEXT, "/api/v1/vms/web-1", required=True),
    "X-Total-Count": _given("How many there are on all pages.", _COUNT, 12, required=True),
    "Volant-Revision": _given(
        "The revision that was read: `?since=` this one misses no change of what the list shows.",
        _COUNT,
        1042,
        required=True,
    ),
    "Volant-Events-Since": _given("The revision after which a stream can be resumed.", _COUNT, 1042, required=True),
    "Link": _given(
        'The next page, if there is one: `<path>; rel="next"`.',
        _TEXT,
        '</api/v1/vms?limit=50&continue=...>; rel="next"',
    ),
    "Volant-Wait": _given(
        "Why waiting ended before what was waited for: it did not come in time, cannot come any more, or the daemon "
        "is stopping. The write itself was made.",
        {"type": "string", "enum": ["timeout", "failed", "stopping"]},
        "timeout",
    ),
    "Idempotent-Replayed": _given(
        "That this is the answer to an earlier request with the same key.", {"type": "string", "enum": ["true"]}, "true"
    ),
    "Retry-After": _given("Seconds after which another try is worth while.", _COUNT, 1),
}
"""Headers of answers, by name."""


def asked_by(method: str, *, on_object: bool, is_cached: bool, is_stream: bool) -> list[Schema]:
    """The header parameters of an operation."""
    names = ["RequestId"]
    if method != "get":
        names += ["IdempotencyKey", *(["IfMatch"] if on_object else [])]
    elif is_cached:
        names.append("IfNoneMatch")
    if is_stream:
        names.append("LastEventId")
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def given_by(method: str, status: int, *, is_tagged: bool, is_list: bool, is_stream: bool) -> dict[str, Schema]:
    """The headers of one answer that is no error."""
    names = ["X-Request-Id"]
    if is_tagged and status != 204:
        names.append("ETag")
    if is_stream:
        names.append("Volant-Events-Since")
    if status == 201:
        names.append("Location")
    if is_list:
        names += ["X-Total-Count", "Volant-Revision", "Volant-Events-Since", "Link"]
    if method != "get":
        names += ["Volant-Wait", "Idempotent-Replayed"]
    return {name: referred(name) for name in names}


def referred(name: str) -> Schema:
    """A reference to a header of an answer."""
    return {"$ref": f"#/components/headers/{name}"}
