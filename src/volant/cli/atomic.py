"""Waiting until an atomic set is healthy, or was taken back: its daemon decides, and is asked what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from volant.cli.ending import FAILED, TIMED_OUT, Ended
from volant.cli.terminal import plain
from volant.clock import SystemClock

if TYPE_CHECKING:
    from volant.client import AsyncClient
    from volant.model.apply.outcome import ApplyView, SetRevisionView

DEADLINE_S = 600.0
"""That of the API, where none is said."""
AFTER_S = 30.0
"""How much longer than its deadline a set is waited for, unless it is said."""
SOONEST_S, LATEST_S = 0.1, 1.0


def await_set(url: str, view: ApplyView, number: int, timeout_s: float) -> None:
    """Return when that revision of the set is healthy, with its objects shown meanwhile.

    Raises Ended: 2 taken back or superseded, 4 timed out.
    """
    from volant.cli.settling import shown_while

    said = shown_while(url, view, lambda client: _decided(client, view.set, number, timeout_s))
    _ended(view.set, number, said)


async def _decided(client: AsyncClient, name: str, number: int, timeout_s: float) -> SetRevisionView | None:
    clock, pause_s = SystemClock(), SOONEST_S
    end = clock.monotonic() + timeout_s
    while True:
        found = await client.sets.get(name)
        said = next((one for one in found.revisions if one.number == number), None)
        if said is None or said.state != "progressing":
            return said
        if clock.monotonic() >= end:
            raise Ended(f"set/{plain(name)} is not healthy yet. `volant sets get {plain(name)}` shows it.", TIMED_OUT)
        await clock.sleep(min(pause_s, max(end - clock.monotonic(), 0.0)))
        pause_s = min(2 * pause_s, LATEST_S)


def _ended(name: str, number: int, said: SetRevisionView | None) -> None:
    if said is None or said.state == "superseded":
        raise Ended(f"set/{plain(name)} was applied again before revision {number} was healthy.", FAILED)
    if said.state == "reverted":
        raise Ended(f"set/{plain(name)} was taken back: {plain(said.message or said.reason or '')}.", FAILED)
    click.echo(f"set/{plain(name)} healthy", err=True)
