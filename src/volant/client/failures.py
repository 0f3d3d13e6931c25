"""What a client is told instead of an answer.

    VolantError
    ├── NoAnswer     nobody answered: no daemon there, a connection that broke, or an answer that did not come in time
    ├── ApiError     the daemon said no: `status`, `code`, `message`, `fields`, `details`
    └── NotReached   the write is done, what was waited for is not so: `how`, and the `object` as it is

`status` of an ApiError is that of HTTP. `fields` are `{"path", "message"}`, one for each field that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from volant.errors import VolantError

How = Literal["timeout", "failed", "stopping"]


class NoAnswer(VolantError):
    """Nobody answered. Whether the request was carried out is not known; with an Idempotency-Key it can be repeated.

    `is_reached`: there was a connection, so somebody is there, or was a moment ago.
    """

    def __init__(self, message: str, *, is_reached: bool = False) -> None:
        super().__init__(message)
        self.is_reached = is_reached


class ApiError(VolantError):
    """The daemon refused. `request_id` is what its log calls the request."""

    status: int  # type: ignore[misc]  # because here it is what the daemon answered, not a matter of the class

    def __init__(
        self, status: int, code: str, message: str, *, details: Mapping[str, Any] | None = None, request_id: str = ""
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.status = status
        self.request_id = request_id

    @property
    def fields(self) -> list[dict[str, str]]:
        """Which fields are wrong, each with a JSON pointer (or `?parameter`) and a sentence."""
        said = self.details.get("fields")
        return [field for field in said if isinstance(field, dict)] if isinstance(said, list) else []

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed in a moment without anybody doing anything."""
        return self.status == 503 or self.code == "idempotency_in_progress"


class NotReached(VolantError):
    """The write was accepted and stands; its goal was not reached. `how`: `timeout`, `failed` or `stopping`."""

    def __init__(self, how: How, found: Any) -> None:
        words = {"timeout": "it is not so yet", "failed": "it cannot be reached", "stopping": "the daemon is stopping"}
        name = getattr(found, "name", "")
        super().__init__(f"cannot say that {name} got where it was to go: {words[how]}", details={"name": name})
        self.how = how
        self.object = found
