"""Every way Volant says no, in one tree.

    VolantError
    ├── RequestError              the caller can mend it; the API answers `status` with `code`
    │   ├── Invalid               400  a field is wrong; `fields` lists each with its path
    │   ├── Forbidden             403  the request came from a place that may not ask
    │   ├── NotFound              404  <kind>_not_found
    │   ├── NoSuchPath            404  not_found: no route is called so
    │   ├── OpenapiNotFound       404  the VM's plugin has no OpenAPI document, or none that can be read
    │   ├── MethodNotAllowed      405  the route does not know this method
    │   ├── RequestTooSlow        408  the request did not arrive as a whole
    │   ├── WaitTimeout           408  what was waited for is not so yet
    │   ├── AlreadyExists         409  <kind>_already_exists
    │   ├── Conflict              409  the object changed, or is in a state that forbids it
    │   ├── IdempotencyInProgress 409  the first request with this key has no answer yet
    │   ├── InUse                 409  somebody still needs it
    │   ├── OpenapiUnavailable    409  the document comes from a guest that does not give it now
    │   ├── LogUnavailable        409  nothing of the guest's console is kept
    │   ├── ConsoleInUse          409  somebody else is attached to the guest's console
    │   ├── ConsoleUnavailable    409  there is no guest to attach to
    │   ├── Gone                  410  the event window has moved on
    │   ├── PreconditionFailed    412  If-Match does not hold
    │   ├── TooLarge              413  the body is over the limit
    │   ├── UnsupportedMediaType  415  the body is not JSON
    │   ├── ForecastTooLarge      422  there is more than a forecast can be made of
    │   ├── IdempotencyKeyReused  422  another request came with this key
    │   ├── UpgradeRequired       426  the route speaks WebSocket only
    │   └── HeadTooLarge          431  first line and headers are over the limit
    ├── Unavailable               503  the store cannot take writes now; worth another try
    │   └── Fenced                503  another daemon has taken over the data directory: this one is to end
    ├── DriverError               the host said no
    │   ├── DriverUnavailable     worth another try (a busy socket, a slow process, a full disk)
    │   └── DriverRefused         the same request will fail again until the spec or the host changes
    ├── ArtifactError             an artifact cannot be had
    │   ├── ArtifactUnavailable   worth another try (the server did not answer)
    │   └── ArtifactRefused       wrong digest, too large, forbidden address: no other try until the spec changes
    └── StartupError              the daemon cannot start; its message is the one sentence the operator reads

The class name is the condition reason, and in snake_case the error `code` and the metric label: a new way to fail is a
new class here, never a new string elsewhere. Whether a failure is worth another try is the class attribute
`retryable`, read in one place (`reconcile.controller`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar


def snake_case(name: str) -> str:
    """`DriverRefused` -> `driver_refused`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class VolantError(Exception):
    """A failure with a sentence for people, a code for programs, and details for both."""

    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or snake_case(type(self).__name__)
        self.details: dict[str, Any] = dict(details or {})

    @property
    def reason(self) -> str:
        """The condition reason: the class name."""
        return type(self).__name__


class RequestError(VolantError):
    """The caller asked for something that cannot be had; asking again unchanged will not help."""

    status: ClassVar[int] = 400
    retryable: ClassVar[bool] = False


class Invalid(RequestError):
    """400: one or more fields are wrong. `fields` are `{"path": "/config/resources/vcpu", "message": ...}`."""

    def __init__(self, message: str, *, code: str | None = None, fields: list[dict[str, str]] | None = None) -> None:
        super().__init__(message, code=code or "invalid", details={"fields": fields} if fields else {})


class Forbidden(RequestError):
    """403: the request carries another site's Host or Origin."""

    status: ClassVar[int] = 403


class NotFound(RequestError):
    """404: there is no such object. The code names the kind: `vm_not_found`."""

    status: ClassVar[int] = 404

    def __init__(self, kind: str, name: str, *, code: str | None = None) -> None:
        super().__init__(f"{kind} not found", code=code or f"{kind.lower()}_not_found", details={"name": name})


class NoSuchPath(RequestError):
    """404: there is no such route."""

    status: ClassVar[int] = 404

    def __init__(self, path: str) -> None:
        super().__init__("cannot find this path", code="not_found", details={"path": path})


class OpenapiNotFound(RequestError):
    """404: there is no OpenAPI document of the VM's own API, and waiting brings none: the manifest says none that is.

    `details.source` is where the manifest says that it is, where it says so.
    """

    status: ClassVar[int] = 404


class MethodNotAllowed(RequestError):
    """405: the route exists, the method does not; `details.allow` lists those that do."""

    status: ClassVar[int] = 405


class RequestTooSlow(RequestError):
    """408: the request was begun and did not arrive as a whole in time. Nothing was changed."""

    status: ClassVar[int] = 408
    retryable: ClassVar[bool] = True


class WaitTimeout(RequestError):
    """408: what was waited for is not so yet; `details` say what is so. Nothing was changed."""

    status: ClassVar[int] = 408
    retryable: ClassVar[bool] = True


class AlreadyExists(RequestError):
    """409: the name is taken. The code names the kind: `vm_already_exists`."""

    status: ClassVar[int] = 409

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} already exists", code=f"{kind.lower()}_already_exists", details={"name": name})


class Conflict(RequestError):
    """409: decided on a revision that is no longer the current one, or the state forbids it. Look again, then try."""

    status: ClassVar[int] = 409
    retryable: ClassVar[bool] = True


class IdempotencyInProgress(RequestError):
    """409: the first request with this Idempotency-Key is still being answered; ask again in a moment."""

    status: ClassVar[int] = 409
    retryable: ClassVar[bool] = True


class InUse(RequestError):
    """409: other objects still depend on this one; `details` names them."""

    status: ClassVar[int] = 409


class OpenapiUnavailable(RequestError):
    """409: the VM is in no state to give its document: it does not run, or answers with none. Look again later.

    Deliberately no 5xx: what a guest does is no failure of the daemon.
    """

    status: ClassVar[int] = 409
    retryable: ClassVar[bool] = True


class Gone(RequestError):
    """410: events after the asked revision have been compacted away; `details.oldest` is the oldest one to be had."""

    status: ClassVar[int] = 410


class PreconditionFailed(RequestError):
    """412: If-Match names another revision than the current one; `details.revision` is the current one."""

    status: ClassVar[int] = 412


class TooLarge(RequestError):
    """413: the body is larger than `details.limit_bytes`."""

    status: ClassVar[int] = 413


class UnsupportedMediaType(RequestError):
    """415: a write whose Content-Type is not JSON."""

    status: ClassVar[int] = 415


class LogUnavailable(RequestError):
    """409: the VM's guest has said nothing yet, or nothing of it is kept any more."""

    status: ClassVar[int] = 409


class ConsoleInUse(RequestError):
    """409: somebody else is attached to the console; `force` takes their place."""

    status: ClassVar[int] = 409


class ConsoleUnavailable(RequestError):
    """409: the VM has no guest that runs, so there is no console now."""

    status: ClassVar[int] = 409


class UpgradeRequired(RequestError):
    """426: the route is there for WebSocket connections, and this request does not ask for one."""

    status: ClassVar[int] = 426


class ForecastTooLarge(RequestError):
    """422: there are more objects than a forecast can be made of; `details.limit` is how many may be."""

    status: ClassVar[int] = 422


class IdempotencyKeyReused(RequestError):
    """422: the Idempotency-Key stands for another request. Nothing was changed."""

    status: ClassVar[int] = 422


class HeadTooLarge(RequestError):
    """431: the first line and the headers are larger, or more, than `details` allow."""

    status: ClassVar[int] = 431


class Unavailable(VolantError):
    """503: the store cannot write (full disk, I/O error, locked). Nothing was changed; worth another try."""

    status: ClassVar[int] = 503


class Fenced(Unavailable):
    """503: another daemon has taken over the data directory. This one may change nothing any more, and ends."""


class DriverError(VolantError):
    """A driver could not do what it was asked to."""


class DriverUnavailable(DriverError):
    """The host cannot do it now; the same request may succeed later."""


class DriverRefused(DriverError):
    """The host will refuse the same request again; waits for a change of spec or host (retried rarely)."""

    retryable: ClassVar[bool] = False


class ArtifactError(VolantError):
    """An artifact of a plugin cannot be had."""


class ArtifactUnavailable(ArtifactError):
    """The server or disk did not give it now; worth another try."""


class ArtifactRefused(ArtifactError):
    """Wrong digest, too large, a forbidden address: not tried again until the manifest changes."""

    retryable: ClassVar[bool] = False


class StartupError(VolantError):
    """The daemon cannot start. The message says what is wrong and what to do, in one sentence."""

    retryable: ClassVar[bool] = False
