"""Following what a guest says over broken connections and restarts of the daemon, without I/O.

    whose VM? ─▶ follow ─▶ text ... ─▶ it ends or breaks ─▶ a pause ─▶ whose VM? ─▶ follow, from now on
                                                                          └▶ nobody, or somebody else: the end

The API has no places in a log to go on from. So what is said while nobody listens is not told twice and not told at
all: `on_gap` hears a sentence that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from volant.client import operations as op
from volant.client.call import Call
from volant.client.failures import ApiError, NoAnswer
from volant.client.following import LONGEST_PAUSE_S, Pauses

if TYPE_CHECKING:
    import random

    from volant.model.views import VMView

OnGap = Callable[[str], None]
BROKE = "the connection broke: it is tried again"
BACK = "it is followed again, from now on: what was said meanwhile is in the log, and not here"


class Tailing:
    """One guest that is followed, over all connections. `now` is of any clock that never goes back, in seconds."""

    def __init__(self, rng: random.Random, name: str, tail: int | None, on_gap: OnGap | None) -> None:
        self.whose = op.get_vm(name)
        self._name, self._tail = name, tail
        self._uid: str | None = None
        self._pauses = Pauses(rng)
        self._on_gap = on_gap
        self._since = 0.0
        self._is_resumed = self._is_away = False

    def follow(self, vm: VMView, now: float) -> Call[str] | None:
        """What to ask next, of the VM that has the name; None: it is not the one that was followed."""
        if self._uid not in (None, vm.uid):
            return None
        self._since = now
        if self._uid is None:
            self._uid = vm.uid
            return op.follow_logs(self._name, tail=self._tail)
        self._is_resumed, self._is_away = True, False
        self._say(BACK)
        return op.follow_logs(self._name, tail=0)

    def failed(self, error: NoAnswer | ApiError) -> bool:
        """Whether that is the end. Raises the error when asking again would not help, and at the very beginning."""
        if self._uid is None:
            raise error
        if isinstance(error, ApiError) and error.code == "vm_not_found":
            return True
        if isinstance(error, ApiError) and (error.status < 500 or not self._is_resumed):
            raise error
        if not self._is_away:
            self._is_away = True
            self._say(BROKE)
        return False

    def pause_s(self, now: float) -> float:
        """The text has ended or broke off, or there was none: seconds until it is asked whether the VM is gone."""
        if now - self._since > LONGEST_PAUSE_S:  # What breaks at once is not to be asked for at once.
            self._pauses.clear()
            self._since = now
        return self._pauses.next_s()

    def _say(self, sentence: str) -> None:
        if self._on_gap is not None:
            self._on_gap(sentence)
