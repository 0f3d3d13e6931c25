"""What the daemon knows of keys that is in no row: asked by the API when somebody wants to know why.

    queues, stories, backoff ──┐
    gate, first look ──────────┼──▶ Facts of these keys, at this moment
    downloads, refusals ───────┘

Times of the loop become instants here, because what is waited for is waited for by the loop. The text of a fault of the
program stays in the log: nobody knows what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from volant import errors
from volant.clock import Clock, Instant
from volant.daemon.engine import Engine
from volant.model.meta import Key
from volant.model.plugin import Plugin, parse_checksum
from volant.model.why import Facts, Standing, Transfer, Turn
from volant.reconcile import Controller, KeyStanding
from volant.store import Store

Progress = Callable[[str, str | None], tuple[int, int | None] | None]
"""Of a download, by URL and sha256 in hex: bytes received, and all of them if announced. None when there is none."""

TURNS = 5
"""Of each controller, the last ones."""
INTERNAL = "failed: an internal error, which the log has"
TURN_FAILED = "TurnFailed"


def no_progress(_url: str, _checksum: str | None) -> None:
    """Nobody knows of downloads."""


class Standings:
    """Facts about keys, made when they are asked for."""

    def __init__(self, engine: Engine, store: Store, clock: Clock, progress: Progress = no_progress) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._progress = progress

    def of(self, now: Instant, keys: Sequence[Key]) -> Facts:
        """What is known at `now`, which is this moment, of these keys."""
        engine = self._engine
        later_s = now - self._clock.monotonic()
        plugins = [p for p in (self._store.find(key) for key in keys if key.kind == "Plugin") if isinstance(p, Plugin)]
        refused = {p.meta.key: engine.plugins.refused_until(p) for p in plugins}
        return Facts(
            now=now,
            has_looked=engine.observed.is_set(),
            look_trouble=engine.look_trouble,
            trouble=engine.store.trouble,
            is_paused=not engine.gate.is_open,
            next_try_at=_at(engine.store_watch.next_probe or engine.gate.opens_at, later_s),
            standings={key: tuple(self._standings(key, later_s)) for key in keys},
            transfers={p.meta.key: self._transfers(p) for p in plugins},
            refused_until={key: until + later_s for key, until in refused.items() if until is not None},
        )

    def _standings(self, key: Key, later_s: float) -> list[Standing]:
        return [_standing(controller, key, later_s) for controller in self._engine.concerned(key.kind)]

    def _transfers(self, plugin: Plugin) -> dict[str, Transfer]:
        found = dict[str, Transfer]()
        for role, source in plugin.spec.manifest.sources().items():
            digest = parse_checksum(source.checksum) if source.checksum is not None else None
            known = self._progress(source.url, digest)
            if known is not None:
                found[role] = Transfer(received_bytes=known[0], total_bytes=known[1])
        return found


def _standing(controller: Controller[Any], key: Key, later_s: float) -> Standing:
    known: KeyStanding = controller.standing(key)
    turns = known.turns[-TURNS:]
    return Standing(
        controller=known.controller,
        place=known.place,
        since=_at(known.since, later_s),
        next_at=_at(known.next_at, later_s),
        failures=known.failures,
        reason=None if known.reason is None else _reason(known.reason),
        message=known.message,
        turns=tuple(Turn(at=t.at, outcome=INTERNAL if t.is_internal else t.outcome, times=t.times) for t in turns),
    )


def _reason(name: str) -> str:
    """The class of an error is a reason if it is one of ours."""
    return name if hasattr(errors, name) else TURN_FAILED


def _at(monotonic: float | None, later_s: float) -> Instant | None:
    return None if monotonic is None else monotonic + later_s
