"""Query parameters: one Struct a route, in the words of the reference first.

    ?plugin=hello&limit=5 ──api.body.decode_query──▶ query Struct

An unknown parameter is refused like an unknown field, because a misspelt filter that is ignored shows everything. UNSET
is a parameter that was not given.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Struct, UnsetType
from msgspec import Meta as Constraint

from volant.model.meta import Kind
from volant.model.vm import StatusWord

Count = Annotated[int, Constraint(ge=0, le=1 << 53)]


class NoQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route without query parameters."""


class Page(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list. Without `limit` everything."""

    limit: Count | UnsetType = UNSET
    offset: Count = 0


class VMQuery(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /vms`."""

    plugin: str | UnsetType = UNSET
    status: StatusWord | UnsetType = UNSET


class Force(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop and delete: without asking the guest first."""

    force: bool = False


class VMEventQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /events/vms`. `since` is the revision after which to begin; `types` is a list with commas."""

    since: Count | UnsetType = UNSET
    types: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    plugin: str | UnsetType = UNSET


class EventQuery(VMEventQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /events`."""

    kind: Kind | UnsetType = UNSET
