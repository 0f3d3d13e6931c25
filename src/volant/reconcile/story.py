"""The last turns of each key, in memory, for people and for assertion messages.

    controller ──tell(key, at, what, outcome)──▶ [ stories ] ──▶ "why does this VM not start?"

A story is not an event: it is lost on restart, it is never read by a reconciler, and nothing is decided on it. Equal
turns in a row are one turn with a count, so that an hour of quiet resyncs does not push out what happened before.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from msgspec import Struct

from volant.clock import Instant, rfc3339

K = TypeVar("K", bound=Hashable)

TURNS = 32
KEYS = 4096


class Turn(Struct, frozen=True):
    """What was done and how it ended, `times` in a row; `at` is the last of them.

    What `is_internal` is for the log and for assertion messages: nobody knows what the text of a fault of the program
    has in it, so it is shown to no user.
    """

    at: Instant
    what: str
    outcome: str
    times: int = 1
    is_internal: bool = False

    def __str__(self) -> str:
        times = f" (x{self.times})" if self.times > 1 else ""
        return f"{rfc3339(self.at)} {self.what}: {self.outcome}{times}"


class Stories(Generic[K]):
    """The last `turns` turns of each of the `keys` keys that were told of last."""

    def __init__(self, *, turns: int = TURNS, keys: int = KEYS) -> None:
        self._turns = turns
        self._keys = keys
        self._told: OrderedDict[K, deque[Turn]] = OrderedDict()

    def tell(self, key: K, at: Instant, what: str, outcome: str, *, is_internal: bool = False) -> None:
        """One more turn of `key`."""
        story = self._told.get(key)
        if story is None:
            story = self._told[key] = deque(maxlen=self._turns)
            if len(self._told) > self._keys:
                self._told.popitem(last=False)
        else:
            self._told.move_to_end(key)
        times = 1
        if story and story[-1].what == what and story[-1].outcome == outcome:
            times += story.pop().times
        story.append(Turn(at, what, outcome, times, is_internal))

    def of(self, key: K) -> tuple[Turn, ...]:
        """The story of `key`, oldest turn first; empty when nothing is known."""
        return tuple(self._told.get(key, ()))

    def text(self, key: K) -> str:
        """The story of `key` as lines of text."""
        lines = [f"  {turn}" for turn in self.of(key)] or ["  nothing is known"]
        return "\n".join([f"the story of {key}:", *lines])
