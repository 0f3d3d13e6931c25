"""The history of a VM's config: one row a change, written in the transaction of the change itself.

    Transaction.insert ──begun──┐
    Transaction._rewrite ──────changed──▶ config_changes ──entries──▶ Reading.config_history
    Transaction._remove ──────forgotten─┘

The oldest entry of a VM says that it was created and stays as long as the VM; of the changes after it the last `KEPT`
stay. Values of secrets are digests before they get here. Everything goes with the VM.
"""

from __future__ import annotations

import msgspec

from volant.clock import Instant, Uid
from volant.model.event import Happening
from volant.model.history import CREATED, ConfigChange, changes, redacted
from volant.model.objects import Object
from volant.model.vm import VM
from volant.store.database import Execute, Row

KEPT = 200
"""Changes of one VM, besides its creation."""

SELECT = "SELECT at, author, request_id, generation, changes FROM config_changes WHERE uid = ? ORDER BY id DESC LIMIT ?"
_INSERT = "INSERT INTO config_changes (uid, at, author, request_id, generation, changes) VALUES (?, ?, ?, ?, ?, ?)"
_TRIM = (
    "DELETE FROM config_changes WHERE uid = ?1 "
    "AND id > (SELECT min(id) FROM config_changes WHERE uid = ?1) "
    "AND id <= (SELECT id FROM config_changes WHERE uid = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
)
_DELETE = "DELETE FROM config_changes WHERE uid = ?"

_ENCODER = msgspec.json.Encoder()


def begun(execute: Execute, new: Object, happening: Happening, now: Instant) -> None:
    """A VM was created."""
    if isinstance(new, VM):
        execute(_INSERT, _row(new, happening, now, _ENCODER.encode(CREATED)))


def changed(execute: Execute, old: Object, new: Object, happening: Happening, now: Instant) -> None:
    """An object was rewritten: keep what changed of a VM's config, if anything did."""
    if not isinstance(old, VM) or not isinstance(new, VM) or old.spec is new.spec:
        return
    found = redacted(changes(old.spec.config, new.spec.config))
    if found:
        execute(_INSERT, _row(new, happening, now, _ENCODER.encode(found)))
        execute(_TRIM, (new.meta.uid, KEPT))


def forgotten(execute: Execute, gone: Object) -> None:
    """An object's row has gone."""
    if isinstance(gone, VM):
        execute(_DELETE, (gone.meta.uid,))


def entry(row: Row) -> ConfigChange:
    """One row of SELECT."""
    at, author, request_id, generation, said = row
    return ConfigChange(
        at=at, author=author, request_id=request_id, generation=generation, changes=msgspec.json.decode(said)
    )


def _row(vm: VM, happening: Happening, now: Instant, said: bytes) -> tuple[Uid, Instant, str, str | None, int, bytes]:
    return (vm.meta.uid, now, happening.actor, happening.request_id, vm.meta.generation, said)
