"""How events are written down for a stream, and which of them it wants.

Two formats: SSE, as the reference has it, and one JSON object a line for programs that have no EventSource.

An SSE block without data is no event to any client, but its `id` counts: opening and heartbeat carry the revision up to
which everything has been sent or was not asked for, so that an idle or filtered reader resumes where it really is (W4).
As lines, both are a `beat`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Struct

from volant.model.event import Committed
from volant.model.meta import Key, Kind, Owner
from volant.model.objects import Object
from volant.model.selectors import Selector
from volant.model.summary import plugin_of

RETRY_MS = 1000
"""How long an EventSource waits before it connects again."""

NOWHERE: Final = -1
"""The place of a reader that is to forget where it was, because what it has is worth nothing any more."""

Word = Literal["bookmark", "reset", "bye", "beat"]
"""What a stream says of itself, beside events and `<kind>.state`."""

_ENCODER = msgspec.json.Encoder()


class Wanted(Struct, frozen=True, kw_only=True):
    """Which events a stream shows, and which objects it begins with. All of it must hold; None: whatever it is.

    `deployment` and `plugin` take what belongs to the one of that name, and itself.
    """

    kinds: frozenset[Kind] | None = None
    types: frozenset[str] | None = None
    names: frozenset[str] | None = None
    plugin: str | None = None
    deployment: str | None = None
    selector: Selector | None = None

    def takes(self, event: Committed) -> bool:
        """Whether the stream shows it: also when the object is one that is wanted no more since this very write."""
        if self.types is not None and event.type not in self.types:
            return False
        if self._is_of(event.key, event.plugin, event.owner, event.labels):
            return True
        was = event.previous
        if was is None or (was.labels is UNSET and was.plugin is UNSET):
            return False
        plugin = event.plugin if was.plugin is UNSET else was.plugin
        return self._is_of(event.key, plugin, event.owner, event.labels if was.labels is UNSET else was.labels)

    def shows(self, obj: Object) -> bool:
        """Whether it is one of the objects that the stream is about."""
        meta = obj.meta
        return self._is_of(meta.key, plugin_of(obj), meta.owner, meta.labels)

    def _is_of(self, key: Key, plugin: str | None, owner: Owner | None, labels: Mapping[str, str]) -> bool:
        return (
            (self.kinds is None or key.kind in self.kinds)
            and (self.names is None or key.name in self.names)
            and (self.plugin is None or self.plugin == (plugin or key.name))
            and (self.deployment is None or self.deployment == _deployment_of(key, owner))
            and (self.selector is None or self.selector.matches(labels))
        )


def _deployment_of(key: Key, owner: Owner | None) -> str | None:
    if key.kind == "Deployment":
        return key.name
    return owner.name if owner is not None and owner.kind == "Deployment" else None


class Format(NamedTuple):
    """The parts of a stream, as bytes. The `int` of opening, beat and word is the revision that the reader has."""

    media: bytes
    opening: Callable[[int | None], bytes]
    event: Callable[[Committed], bytes]
    beat: Callable[[int], bytes]
    word: Callable[[Word, Mapping[str, Any], int | None], bytes]
    """Something the stream says of itself: `bookmark`, `reset` or `bye`."""
    state: Callable[[Kind, bytes], bytes]
    """An object as it is. Without an id, because a state is whole or worth nothing: nobody resumes inside of it."""


def _sse_opening(after: int | None) -> bytes:
    retry = b"retry: %d\n" % RETRY_MS
    return retry + (b"\n" if after is None else b"id: %d\n\n" % after)


def _sse_event(event: Committed) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.revision, event.type.encode(), event.data)


def _sse_beat(after: int) -> bytes:
    return b": beat\nid: %d\n\n" % after


def _sse_word(word: Word, data: Mapping[str, Any], after: int | None) -> bytes:
    block = b"event: %b\ndata: %b\n\n" % (word.encode(), _ENCODER.encode(data))
    if after is None:
        return block
    # An empty id makes an EventSource forget the one it has.
    return (b"id:\n" if after == NOWHERE else b"id: %d\n" % after) + block


def _sse_state(kind: Kind, body: bytes) -> bytes:
    return b"event: %b.state\ndata: %b\n\n" % (kind.lower().encode(), body)


def _line_opening(after: int | None) -> bytes:
    return b"" if after is None else _line_beat(after)


def _line_beat(after: int) -> bytes:
    return b'{"id":%d,"event":"beat","data":{}}\n' % after


def _line_event(event: Committed) -> bytes:
    return b'{"id":%d,"event":"%b","data":%b}\n' % (event.revision, event.type.encode(), event.data)


def _line_word(word: Word, data: Mapping[str, Any], after: int | None) -> bytes:
    return _ENCODER.encode({"id": None if after == NOWHERE else after, "event": word, "data": data}) + b"\n"


def _line_state(kind: Kind, body: bytes) -> bytes:
    return b'{"id":null,"event":"%b.state","data":%b}\n' % (kind.lower().encode(), body)


SSE = Format(b"text/event-stream", _sse_opening, _sse_event, _sse_beat, _sse_word, _sse_state)
LINES = Format(b"application/x-ndjson", _line_opening, _line_event, _line_beat, _line_word, _line_state)
