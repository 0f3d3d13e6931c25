"""A copy of a database in memory, for whoever wants to see what would come of something.

    database file ──read-only──▶ every row but the past ──▶ a store like any other, that is gone when it is closed

One read transaction, so the copy is of one commit, however busy the daemon is meanwhile. Events, answers to
idempotency keys and histories of configs stay behind: they are most of a database, and nothing depends on them.

Beside it, what the past is asked for: how long the guests of a plugin took to stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from volant.bus import Bus
from volant.clock import Clock, UidFactory
from volant.errors import ForecastTooLarge, StartupError, Unavailable
from volant.model.vm import NetworkMode
from volant.store import epoch as epochs
from volant.store.addresses import adopt_pools, parse_pools
from volant.store.database import DATABASE_ERRORS, Connection, meaning, open_memory
from volant.store.schema import migrate
from volant.store.store import Store
from volant.store.values import StoreSettings

LEFT_BEHIND = frozenset({"events", "idempotency", "config_changes"})
SETTINGS = StoreSettings(inline=True, synchronous="off")
STOPS = 20
"""The median of so many stops tells how long the next one takes."""
LOOKED_THROUGH = 50_000
"""Events that are looked through for them, from the last one back."""

_TABLES = "SELECT name FROM live.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
# The last thing that the controller says of a guest before it is gone is that it has asked it to stop.
_STOPS = (
    "SELECT gone.plugin, gone.at - asked.at FROM live.events AS gone JOIN live.events AS asked "
    "ON asked.revision = gone.preceding WHERE gone.type = 'vm.deleted' AND gone.plugin IS NOT NULL "
    "AND gone.revision > (SELECT revision FROM live.head) - ? "
    "AND json_extract(CAST(asked.data AS TEXT), '$.reason') = 'Stopping' ORDER BY gone.revision DESC"
)


class Fork:
    """A copy that was made. `stops` are the seconds that the last deleted guests of each plugin took to stop."""

    def __init__(self, path: Path, *, most: int) -> None:
        """Raises ForecastTooLarge for more than `most` objects, Unavailable for a database that cannot be read."""
        self.stops: dict[str, list[float]] = {}
        self._connection = open_memory()
        try:
            migrate(self._connection, path)
            self._connection.execute("ATTACH ? AS live", (f"{path.absolute().as_uri()}?mode=ro",))
            self._copy(most)
            self._connection.execute("DETACH live")
        except (*DATABASE_ERRORS, StartupError) as error:
            self._connection.close()
            raise Unavailable(f"cannot read {path.name}: {meaning(error)}.") from error
        except ForecastTooLarge:
            self._connection.close()
            raise

    def store(
        self,
        *,
        bus: Bus,
        clock: Clock,
        uids: UidFactory,
        pools: Mapping[NetworkMode, str],
        mode: NetworkMode,
    ) -> Store:
        """The copy as a store. Once."""
        connection = self._connection
        parsed = parse_pools(mode, pools)
        with connection.transaction():
            term = epochs.take(connection.execute, None, clock.now())
            adopt_pools(connection.execute, parsed)
        # One connection for both: whoever reads does so between two commits, because commits are made on the loop.
        return Store(
            connection, connection, term=term, bus=bus, clock=clock, uids=uids, settings=SETTINGS, pools=parsed
        )

    def _copy(self, most: int) -> None:
        connection = self._connection
        with connection.transaction("DEFERRED"):
            ((objects,),) = connection.select("SELECT count(*) FROM live.objects")
            if objects > most:
                raise ForecastTooLarge(
                    f"cannot forecast: there are {objects} objects, and a forecast is of {most} at most",
                    details={"objects": objects, "limit": most},
                )
            for (table,) in connection.select(_TABLES):
                if table not in LEFT_BEHIND:
                    _copy_table(connection, table)
            connection.execute("UPDATE head SET oldest_event = revision")
            for plugin, took in connection.select(_STOPS, (LOOKED_THROUGH,)):
                known = self.stops.setdefault(plugin, [])
                if len(known) < STOPS:
                    known.append(max(float(took), 0.0))


def _copy_table(connection: Connection, table: str) -> None:
    columns = ", ".join(name for (name,) in connection.select("SELECT name FROM pragma_table_info(?)", (table,)))
    connection.execute(f"DELETE FROM main.{table}")  # noqa: S608 -- names of our own tables
    connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM live.{table}")  # noqa: S608
