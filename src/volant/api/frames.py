"""How events are written down for a stream, and which of them it wants.

Two formats: SSE, as the reference has it, and one JSON object a line for programs that have no EventSource.

An SSE block without data is no event to any client, but its `id` counts: opening and heartbeat carry the revision up to
which everything has been sent or was not asked for, so that an idle or filtered reader resumes where it really is (W4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from volant.model.event import Committed
from volant.model.meta import Kind

RETRY_MS = 1000
"""How long an EventSource waits before it connects again."""

_ENCODER = msgspec.json.Encoder()


class Wanted(Struct, frozen=True, kw_only=True):
    """Which events a stream shows. None: whatever it is."""

    kind: Kind | None = None
    types: frozenset[str] | None = None
    name: str | None = None
    plugin: str | None = None

    def takes(self, event: Committed) -> bool:
        """Whether the stream shows it. A plugin's own events count as its."""
        return (
            (self.types is None or event.type in self.types)
            and (self.kind is None or event.key.kind == self.kind)
            and (self.name is None or event.key.name == self.name)
            and (self.plugin is None or self.plugin == (event.plugin or event.key.name))
        )


class Format(NamedTuple):
    """The parts of a stream, as bytes. The `int` of opening and beat is the revision that the reader has."""

    media: bytes
    opening: Callable[[int | None], bytes]
    event: Callable[[Committed], bytes]
    beat: Callable[[int], bytes]
    word: Callable[[str, Mapping[str, Any], int | None], bytes]
    """Something the stream says of itself: `reset` or `bye`."""


def _sse_opening(after: int | None) -> bytes:
    retry = b"retry: %d\n" % RETRY_MS
    return retry + (b"\n" if after is None else b"id: %d\n\n" % after)


def _sse_event(event: Committed) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.revision, event.type.encode(), event.data)


def _sse_beat(after: int) -> bytes:
    return b": beat\nid: %d\n\n" % after


def _sse_word(word: str, data: Mapping[str, Any], after: int | None) -> bytes:
    block = b"event: %b\ndata: %b\n\n" % (word.encode(), _ENCODER.encode(data))
    return block if after is None else b"id: %d\n%b" % (after, block)


def _line_event(event: Committed) -> bytes:
    return b'{"id":%d,"event":"%b","data":%b}\n' % (event.revision, event.type.encode(), event.data)


def _line_word(word: str, data: Mapping[str, Any], after: int | None) -> bytes:
    return _ENCODER.encode({"id": after, "event": word, "data": data}) + b"\n"


SSE = Format(b"text/event-stream", _sse_opening, _sse_event, _sse_beat, _sse_word)
LINES = Format(b"application/x-ndjson", lambda _: b"", _line_event, lambda _: b"\n", _line_word)
