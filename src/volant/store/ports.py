"""Which port of the host is whose: a VM holds what its config publishes, from the transaction that says so on.

Deliberately absent: what is bound on the host. That a stranger listens on a port is found when a guest is attached.
"""

from __future__ import annotations

from collections.abc import Iterable

from volant.clock import Uid
from volant.errors import Conflict
from volant.model.vm import ANY_ADDRESS, Publish
from volant.store.database import Execute

_HELD = "SELECT port, address FROM published WHERE uid = ?"
_TAKEN = (
    "SELECT published.address, objects.name FROM published LEFT JOIN objects ON objects.uid = published.uid "
    "WHERE port = ? AND published.uid != ? AND (published.address IN (?, ?) OR ? = ?)"
)


def hold(execute: Execute, uid: Uid, wanted: Iterable[Publish]) -> None:
    """Let `uid` hold these and no others. Raises Conflict `port_taken`, with all as it was."""
    places = {(publish.host_port, publish.host_ip) for publish in wanted}
    held = {(port, address) for port, address in execute(_HELD, (uid,)).fetchall()}
    for port, address in sorted(places - held):
        taken = execute(_TAKEN, (port, uid, address, ANY_ADDRESS, address, ANY_ADDRESS)).fetchone()
        if taken is not None:
            raise Conflict(
                f"cannot publish {address}:{port}: VM {taken[1]} has {taken[0]}:{port}",
                code="port_taken",
                details={"name": taken[1], "host_ip": taken[0], "host_port": port},
            )
    for port, address in held - places:
        execute("DELETE FROM published WHERE port = ? AND address = ?", (port, address))
    for port, address in places - held:
        execute("INSERT INTO published (port, address, uid) VALUES (?, ?, ?)", (port, address, uid))


def release(execute: Execute, uid: Uid) -> None:
    """Take back what `uid` holds. Idempotent."""
    execute("DELETE FROM published WHERE uid = ?", (uid,))
