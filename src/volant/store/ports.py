"""Which port of the host is whose: a VM holds what its config publishes, from the transaction that says so on.

    hold   one VM's, at once: what another one has is refused
    Moves  those of many VMs, as if all were asked for in one moment: who lets go and who takes may come in any order

Deliberately absent: what is bound on the host. That a stranger listens on a port is found when a guest is attached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from volant.clock import Uid
from volant.errors import Conflict
from volant.model.vm import ANY_ADDRESS, Publish
from volant.store.database import Execute

_HELD = "SELECT port, address FROM published WHERE uid = ?"
_TAKEN = (
    "SELECT published.uid, published.address, objects.name FROM published "
    "LEFT JOIN objects ON objects.uid = published.uid "
    "WHERE port = ? AND published.uid != ? AND (published.address IN (?, ?) OR ? = ?)"
)


def hold(execute: Execute, uid: Uid, wanted: Iterable[Publish], leaving: Collection[Uid] = ()) -> None:
    """Let `uid` hold these and no others. Raises Conflict `port_taken`, with all as it was.

    Who is `leaving` lets go of what is asked for.
    """
    places = {(publish.host_port, publish.host_ip) for publish in wanted}
    held = {(port, address) for port, address in execute(_HELD, (uid,)).fetchall()}
    freed = []
    for port, address in sorted(places - held):
        for holder, at, name in execute(_TAKEN, (port, uid, address, ANY_ADDRESS, address, ANY_ADDRESS)).fetchall():
            if holder not in leaving:
                raise Conflict(
                    f"cannot publish {address}:{port}: VM {name} has {at}:{port}",
                    code="port_taken",
                    details={"name": name, "host_ip": at, "host_port": port},
                )
            freed.append((port, at))
    for port, address in (*freed, *(held - places)):
        execute("DELETE FROM published WHERE port = ? AND address = ?", (port, address))
    for port, address in places - held:
        execute("INSERT INTO published (port, address, uid) VALUES (?, ?, ?)", (port, address, uid))


def release(execute: Execute, uid: Uid) -> None:
    """Take back what `uid` holds. Idempotent."""
    execute("DELETE FROM published WHERE uid = ?", (uid,))


class Moves:
    """Ports that change hands together. Until `settle` nobody has a port that he did not have before."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._asked: dict[Uid, tuple[Publish, ...]] = {}
        self._leaving: set[Uid] = set()

    def ask(self, uid: Uid, wanted: Iterable[Publish]) -> None:
        """`uid` is to hold these; what it has and does not ask for is free from now on."""
        self._asked[uid] = tuple(wanted)
        places = {(publish.host_port, publish.host_ip) for publish in self._asked[uid]}
        held = {(port, address) for port, address in self._execute(_HELD, (uid,)).fetchall()}
        for port, address in held - places:
            self._execute("DELETE FROM published WHERE port = ? AND address = ?", (port, address))

    def leave(self, uid: Uid) -> None:
        """`uid` is on its way out, and lets go of what somebody here asks for; of the rest when its row goes."""
        self._asked.pop(uid, None)
        self._leaving.add(uid)

    def settle(self) -> dict[Uid, Conflict]:
        """Let everybody hold what was asked for; who cannot, because it is another's still. May be called again."""
        refused: dict[Uid, Conflict] = {}
        for uid, wanted in self._asked.items():
            try:
                hold(self._execute, uid, wanted, self._leaving)
            except Conflict as error:
                refused[uid] = error
        return refused
