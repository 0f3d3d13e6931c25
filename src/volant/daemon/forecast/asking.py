"""The apply of a forecast: the request, put to an API of its own that has the copy behind it.

Asked twice: what would be done, as a trial, because many deletions have to be confirmed with their number; then done.
What the daemon has checked against its own settings before (networks, texts for cloud-init) is not checked again.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from volant.api.app import create_app
from volant.api.deps import Deps, HealthReport
from volant.bus import Bus
from volant.client import AsyncClient
from volant.client.call import Call, asked, at, shown
from volant.clock import Clock
from volant.model.apply.outcome import ApplyView
from volant.model.views import SystemFacts
from volant.model.vm import NetworkConfig
from volant.store import Store


class Desk:
    """Where the apply is asked for. Its methods raise ApiError with what the API says."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, body: bytes) -> None:
        self._body = body
        self._app = create_app(
            Deps(
                store=store,
                bus=bus,
                clock=clock,
                stopping=asyncio.Event(),
                info=_nothing_told,
                health=lambda: HealthReport(is_live=True, is_ready=True),
                check_network=_anything_goes,
            )
        )

    async def plan(self) -> ApplyView:
        """What it would do."""
        return await self._ask(self._body, is_trial=True)

    async def apply(self, plan: ApplyView) -> None:
        """Do it, with whatever has to be confirmed."""
        said: dict[str, Any] = msgspec.json.decode(self._body)
        said.pop("plan", None)
        said["confirm_delete"] = plan.summary.get("delete", 0)
        await self._ask(msgspec.json.encode(said), is_trial=False)

    async def _ask(self, body: bytes, *, is_trial: bool) -> ApplyView:
        query = asked(dry_run=is_trial or None)
        call = Call(method="POST", path=at("apply"), query=query, body=body, read=shown(ApplyView))
        async with AsyncClient("http://127.0.0.1", app=self._app) as client:
            return await client.send(call)


def _anything_goes(_: NetworkConfig) -> None:
    """The daemon has looked at it."""


def _nothing_told() -> SystemFacts:
    raise AssertionError("nobody asks a forecast about its host")
