"""What `rollout history` prints: revisions of a template, and what changed from each to the next. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from volant.cli.shapes import since
from volant.cli.terminal import columns, plain
from volant.model.history import changes, redacted
from volant.model.views import RevisionView

HEADS = ("REVISION", "AGE", "STATE", "CHANGE")
MADE_OF = ("plugin", "labels", "restart_policy", "config")


def table(found: Sequence[RevisionView]) -> list[str]:
    """The lines of a list; `found` is all of it, the newest first."""
    rows = [
        (one.revision, since(one.created_at), _state(one, found), ", ".join(_changed(one, before)) or one.cause)
        for one, before in zip(found, [*found[1:], None], strict=True)
    ]
    return columns(HEADS, rows)


def details(one: RevisionView, found: Sequence[RevisionView]) -> Iterator[str]:
    """The lines about one of them: what changed with it, what going back to it would change, what it makes."""
    import yaml

    state = _state(one, found) or "earlier"
    yield plain(f"revision {one.revision}, {since(one.created_at)} ago: {state}. Cause: {one.cause}")
    before = next((other for other in found if other.revision < one.revision), None)
    if before is not None:
        yield f"Changed against revision {before.revision}:"
        yield from _listed(_changed(one, before))
    if not one.current:
        yield f"Going back to it from revision {found[0].revision} would change:"
        yield from _listed(_changed(one, found[0]))
    yield "Its VMs are made of:"
    text = yaml.safe_dump(_template(one, is_shown=True), sort_keys=False, allow_unicode=True)
    yield from (f"  {line}" for line in text.splitlines())


def _state(one: RevisionView, found: Sequence[RevisionView]) -> str:
    """Complete is what is current, else the newest that came so far: what all VMs were made of last."""
    last = next((other.revision for other in found if other.complete), None)
    is_last = one.revision == last
    states = {
        "current": one.current,
        "complete": is_last and one.current,
        "last complete": is_last and not one.current,
        "reverted": one.reverted,
    }
    return ",".join(state for state, is_so in states.items() if is_so)


def _changed(one: RevisionView, before: RevisionView | None) -> list[str]:
    if before is None:
        return []
    told = redacted(changes(_template(before), _template(one)))
    return [f"{path}: {_value(sides['old'])} → {_value(sides['new'])}" for path, sides in told.items()]


def _listed(changed: list[str]) -> Iterator[str]:
    yield from (f"  {plain(line)}" for line in changed or ["nothing: its VMs are made anew"])


def _template(one: RevisionView, *, is_shown: bool = False) -> dict[str, Any]:
    said: dict[str, Any] = {name: msgspec.to_builtins(getattr(one, name)) for name in MADE_OF}
    return {name: value for name, value in said.items() if value} if is_shown else said


def _value(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
