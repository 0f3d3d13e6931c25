"""What is known of each object while it is waited for: its state in a word or two, why, and since when. Pure.

    changes of a watch ──take──▶ Board ──rows──▶ a live list
                                   └──▶ the row that is new ──▶ a line

An object is known by kind and name: a VM and a deployment may be called alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from volant.client import Change

THERE = ("ready", "stopped", "deleted", "removed", "available")
TROUBLED = ("error", "restarting", "degraded", "not")
"""First words of a state that has a reason worth telling."""

Shown = Callable[[str, str, str | None], bool]
"""Whether to show an object, by kind (`vm`), name, and the name of its owner."""


class Row(NamedTuple):
    """One object. `since_s`: when it came to be so, on the clock that `take` is told. `is_news`: it is to be told."""

    kind: str
    name: str
    word: str
    since_s: float
    is_news: bool = True

    @property
    def is_there(self) -> bool:
        """Whether nothing more is expected of it, whatever it was that was waited for."""
        return self.word.partition(" ")[0] in THERE or (self.kind == "deployment" and _is_whole(self.word))


class Board:
    """The rows. What is there at the first look is news only of those that `news` chooses."""

    def __init__(self, shown: Shown | None = None, news: Shown | None = None) -> None:
        self._shown = shown or (lambda _kind, _name, _owner: True)
        self._news = news or (lambda _kind, _name, _owner: False)
        self._rows: dict[tuple[str, str], Row] = {}
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def take(self, change: Change, now_s: float) -> Row | None:
        """The row that is another than before."""
        kind, _, what = change.type.partition(".")
        if change.object is not None:
            name, owner = change.object.name, _owner_of(change.object)
        elif change.event is not None:
            name, owner = change.event.name, change.event.owner
        else:
            return None
        if not self._shown(kind, name, owner):
            return None
        if change.event is not None:
            _update(self._known.setdefault((kind, name), {}), what, change.event)
        else:
            self._known[kind, name] = _of_view(kind, change.object)
        return self._put(kind, name, now_s, is_news=change.event is not None or self._news(kind, name, owner))

    def rows(self, most: int | None = None) -> tuple[Sequence[Row], int]:
        """Those that something is expected of first, `most` of all, and how many more there are."""
        ordered = sorted(self._rows.values(), key=lambda row: (row.is_there, row.kind, len(row.name), row.name))
        shown = ordered if most is None else ordered[:most]
        return shown, len(ordered) - len(shown)

    def row(self, kind: str, name: str) -> Row | None:
        """That of one object."""
        return self._rows.get((kind, name))

    def _put(self, kind: str, name: str, now_s: float, *, is_news: bool) -> Row | None:
        word, before = _word(self._known[kind, name]), self._rows.get((kind, name))
        if not word or (before is not None and before.word == word):
            return None
        # Another reason for the same state is news, and no other state.
        same = before is not None and before.word.partition(":")[0] == word.partition(":")[0]
        row = Row(kind, name, word, before.since_s if before is not None and same else now_s, is_news)
        self._rows[kind, name] = row
        return row


def _owner_of(view: Any) -> str | None:
    owner = getattr(view, "owner", None)
    return None if owner is None else str(owner.name)


def _of_view(kind: str, view: Any) -> dict[str, Any]:
    conditions = {one.type: one for one in getattr(view, "conditions", ())}
    ready = conditions.get("ready")
    known: dict[str, Any] = {"ready": ready is not None and ready.status == "true"}
    if kind == "deployment":
        return {"replicas": view.replicas, "ready_replicas": view.ready_replicas}
    if kind == "vm":
        known["status"] = view.status
    if ready is not None and not known["ready"]:
        known["why"] = ready.message or ready.reason
    if view.deleting_since is not None:
        known["status"] = "deleting"
    return known


def _update(known: dict[str, Any], what: str, event: Any) -> None:
    new = msgspec.to_builtins(event.new) if event.new is not None else {}
    known.update(new)
    if what in ("deleted", "removed", "deleting"):
        known.clear()
        known["status"] = what
    elif event.message or event.reason:
        known["why"] = event.message or event.reason
    elif "status" in new:
        known.pop("why", None)


def _word(known: dict[str, Any]) -> str:
    if "replicas" in known:
        return f"{known.get('ready_replicas', 0)} of {known['replicas']} ready"
    status = known.get("status")
    if status is None or status == "running":
        unready = "not ready" if status is None else "running, not ready yet"
        status = "ready" if known.get("ready") else unready
    why = known.get("why")
    return f"{status}: {why}" if why and status.partition(" ")[0] in TROUBLED else str(status)


def _is_whole(word: str) -> bool:
    ready, _, rest = word.partition(" of ")
    return ready == rest.partition(" ")[0]
