"""One thing at a time needs no event loop: what is written for the async client, done by the blocking one.

    act(client) ──await client.vms.stop(name)──▶ Client, which has the answer when it returns ──▶ the outcome of act

A loop and what it asks with take longer to load than most commands take. It is for acts that await nothing but
methods of the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from volant.client import Client


def done(url: str, act: Callable[[Any], Any]) -> Any:
    """The outcome of `act`, which is given a client. Raises what it raises."""
    with Client(url) as client:
        coroutine = act(_Awaited(client))
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        coroutine.close()
        raise RuntimeError("an act that is done at once awaits nothing but its client")


class _Awaited:
    """A client, or the operations of a kind, whose methods can be awaited. They never wait then: they have waited."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found if isinstance(found, str) else _Awaited(found)

        async def method(*words: Any, **named: Any) -> Any:
            return found(*words, **named)

        return method
