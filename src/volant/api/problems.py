"""Every error as the reference's body: `{"error", "code", "details"}`, and the request's id.

The status and the code are the error's own (`errors`); here is only how they are written down. What is not a
VolantError, or is one that no caller can mend, is `internal`: logged with its traceback, and told to nobody.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from volant.api.call import Answer, Headers
from volant.errors import MethodNotAllowed, RequestError, Unavailable, VolantError
from volant.telemetry import logger

RETRY_AFTER_S = 1

_log = logger("volant.api")
_ENCODER = msgspec.json.Encoder(enc_hook=str)


class Problem(Struct, frozen=True, kw_only=True):
    """The error body. `code` is what programs look at, `error` is for people, `details` for both."""

    error: str
    code: str
    details: dict[str, Any]
    request_id: str


def answer_to(error: Exception, request_id: str) -> Answer:
    """The answer that tells of `error`; logs it when it is our fault."""
    if isinstance(error, RequestError | Unavailable):
        return _written(error, request_id)
    _log.error("api.internal_error", request_id=request_id, exc_info=error)
    return _written(VolantError("internal error", code="internal"), request_id)


def _written(error: VolantError, request_id: str) -> Answer:
    problem = Problem(error=error.message, code=error.code, details=error.details, request_id=request_id)
    return Answer(error.status, _ENCODER.encode(problem), _headers(error))


def _headers(error: VolantError) -> Headers:
    if isinstance(error, Unavailable):
        return ((b"retry-after", b"%d" % RETRY_AFTER_S),)
    if isinstance(error, MethodNotAllowed):
        return ((b"allow", ", ".join(error.details["allow"]).encode()),)
    return ()
