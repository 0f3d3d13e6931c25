"""Event logs that are long, or were cut: many commits through a served API."""

from __future__ import annotations

from tests.builders.objects import a_plugin, uid_of
from tests.builders.server import Served

from volant.model.event import Happening
from volant.store import StoreSettings

QUICK = StoreSettings(synchronous="off")
COMPACTING = StoreSettings(event_keep=20, compact_events=10, synchronous="off", inline=True)


async def commits(api: Served, count: int, prefix: str = "p") -> None:
    """So many events, in one transaction."""
    plugins = [a_plugin(f"{prefix}-{i}", uid=uid_of(f"{prefix}-{i}")) for i in range(count)]
    happening = Happening(type="plugin.installed", actor="test")
    await api.store.write(lambda tx: [tx.insert(plugin, happening) for plugin in plugins])


async def a_log_that_was_compacted(api: Served) -> None:
    await commits(api, 300)
    assert api.store.oldest_event > 0
