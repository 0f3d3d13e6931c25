"""What every object has: a key, an identity, owners, and the counters that order its changes."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta as Constraint
from msgspec import Struct

from volant.clock import Instant, Uid

Kind = Literal["VM", "Deployment", "Plugin", "Sync"]

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$(?!\n)"
"""A DNS label (RFC 1123): this one rule is what keeps names out of paths, argv and host names.

The `(?!\\n)` stands in every pattern of the model, because `$` alone lets one line break pass at the end.
"""

Name = Annotated[
    str,
    Constraint(
        pattern=NAME_PATTERN,
        max_length=63,
        description="A DNS label: lower-case letters, digits and '-', at most 63 characters.",
    ),
]

_NAME = re.compile(NAME_PATTERN)


def is_name(text: str) -> bool:
    """Whether an object can be called so."""
    return _NAME.match(text) is not None


LabelKey = Annotated[
    str,
    Constraint(
        pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$(?!\n)",
        description="Letters, digits, '-', '_' and '.', at most 63, optionally after a DNS name and '/'.",
    ),
]
LabelValue = Annotated[str, Constraint(pattern=r"^[ -~]*$(?!\n)", max_length=63, description="Printable ASCII.")]
Labels = Annotated[dict[LabelKey, LabelValue], Constraint(max_length=64, description="At most 64 labels.")]


class Misfit(ValueError):
    """A field that does not fit the others: a JSON pointer to it, from the Struct that says so, and why."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


Time = Annotated[str, Constraint(extra_json_schema={"format": "date-time"})]
"""An instant as clients read it: RFC 3339, UTC."""


class Key(NamedTuple):
    """Which object: what queues carry."""

    kind: Kind
    name: str


class Owner(Struct, frozen=True, kw_only=True):
    """On whose behalf an object exists. The same name with another uid is somebody else (D5)."""

    kind: Kind
    name: str
    uid: Uid


class Meta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of an object that the store keeps for everybody.

    `generation` grows by one iff the spec really changed; `revision` is store-wide and grows with every write (it is
    the compare-and-swap token, the ETag and the SSE id). `finalizers` name who must still clean up before
    the row may go.
    """

    name: str
    uid: Uid
    kind: Kind
    created_at: Instant
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner: Owner | None = None
    generation: int = 1
    revision: int = 0
    deleting_since: Instant | None = None
    finalizers: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The object's key."""
        return Key(self.kind, self.name)

    @property
    def is_deleting(self) -> bool:
        """Whether somebody asked for the end of this object. Never taken back (D1)."""
        return self.deleting_since is not None
