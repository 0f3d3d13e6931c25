"""Every error as the reference's body: `{"error", "code", "details"}`, and the request's id.

    error ──▶ answer_to ──▶ application/json
                  └─ who prefers application/problem+json gets the same, and the members of RFC 9457 beside it

The status and the code are the error's own (`errors`); here is only how they are written down. What is not a
VolantError, or is one that no caller can mend, is `internal`: logged with its traceback, and told to nobody.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from volant.api.call import Answer, Headers
from volant.api.codes import CODES
from volant.errors import (
    IdempotencyInProgress,
    MethodNotAllowed,
    RequestError,
    Unavailable,
    UpgradeRequired,
    VolantError,
)
from volant.telemetry import logger

RETRY_AFTER_S = 1
JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"
TYPE = "urn:volant:error:"

_log = logger("volant.api")
_ENCODER = msgspec.json.Encoder(enc_hook=str)


class Problem(Struct, frozen=True, kw_only=True):
    """The error body. `code` is what programs look at, `error` is for people, `details` for both."""

    error: str
    code: str
    details: dict[str, Any]
    request_id: str


class ProblemDetails(Problem, frozen=True, kw_only=True):
    """The error body with the members of RFC 9457.

    `type` is `urn:volant:error:` and the code, `title` what the code means, `detail` the same as `error`, and
    `instance` the path that was asked for.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str


def answer_to(error: Exception, request_id: str, *, accept: bytes = b"", path: bytes = b"") -> Answer:
    """The answer that tells of `error`; logs it when it is our fault. `path` is as it was sent, percent-encoded."""
    if not isinstance(error, RequestError | Unavailable):
        _log.error("api.internal_error", request_id=request_id, exc_info=error)
        error = VolantError("internal error", code="internal")
    if accept and prefers_problem(accept):
        body, media = _ENCODER.encode(_detailed(error, request_id, path)), PROBLEM_JSON
    else:
        body, media = _ENCODER.encode(Problem(**_members(error, request_id))), JSON
    return Answer(error.status, body, _headers(error), media)


def prefers_problem(accept: bytes) -> bool:
    """Whether an Accept header names problem+json, and puts plain JSON at most as high.

    It has to be named, because `*/*` is what clients of the reference send. Parameters but `q` are ignored.
    """
    if b"problem+json" not in accept.lower():
        return False
    ranges = dict(_range(part) for part in accept.lower().split(b","))
    plain = next((ranges[r] for r in (JSON, b"application/*", b"*/*") if r in ranges), 0.0)
    return 0.0 < ranges.get(PROBLEM_JSON, 0.0) >= plain


def _range(part: bytes) -> tuple[bytes, float]:
    """`application/json;q=0.5` -> its media range and quality; a quality that is none counts as 1."""
    media, *parameters = (piece.strip() for piece in part.split(b";"))
    quality = next((p[2:] for p in parameters if p.startswith(b"q=")), b"1")
    try:
        return media, min(max(float(quality), 0.0), 1.0)
    except ValueError:
        return media, 1.0


def _members(error: VolantError, request_id: str) -> dict[str, Any]:
    return {"error": error.message, "code": error.code, "details": error.details, "request_id": request_id}


def _detailed(error: VolantError, request_id: str, path: bytes) -> ProblemDetails:
    status = HTTPStatus(error.status)
    return ProblemDetails(
        type=TYPE + error.code,
        title=CODES[error.code][1] if error.code in CODES else status.phrase,
        status=status,
        detail=error.message,
        instance=path.decode("latin-1"),
        **_members(error, request_id),
    )


def _headers(error: VolantError) -> Headers:
    if isinstance(error, Unavailable | IdempotencyInProgress):
        return ((b"retry-after", b"%d" % RETRY_AFTER_S),)
    if isinstance(error, UpgradeRequired):
        return ((b"upgrade", b"websocket"), (b"connection", b"Upgrade"))
    if isinstance(error, MethodNotAllowed):
        return ((b"allow", ", ".join(error.details["allow"]).encode()),)
    return ()
