"""The objects a stream begins with, as frames: what `?initial=true` asks for.

    store ──names, of one commit──▶ slices ──each of one commit, that one or a later──▶ frames

What is promised of the result, with R the revision of the names, which the bookmark carries:

* Every object that is wanted at R is shown as it is at R or later, or is gone since; nothing is shown twice.
* Following the events after R, and passing over each whose revision is not above that of the object as it was shown,
  ends in what the store holds: what is passed over is in the object already, what is not has happened to it since.

So many objects as fit one slice, and their names, are of one commit: then there is nothing to pass over. More would
hold up everybody else, or keep the database from folding its log for as long as the slowest reader reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from volant.api.deps import Deps
from volant.api.frames import Format, Wanted
from volant.model.deployment import Deployment
from volant.model.meta import Key, Kind
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.sync import Sync
from volant.model.sync_wire import sync_view
from volant.model.wire import Shape, deployment_view, plugin_view, vm_view

SLICE = 128
"""Objects between two turns of the loop: two or three milliseconds."""

_ORDER: Sequence[Kind] = ("Plugin", "Deployment", "VM", "Sync")
"""What others are made of comes first."""

_ENCODER = msgspec.json.Encoder()


class Slice(NamedTuple):
    """Frames of some objects. `revision` is that of the names, the same in every slice."""

    revision: int
    shown: int
    frames: bytes


def slices(deps: Deps, wanted: Wanted, form: Format) -> Iterator[Slice]:
    """All objects that a stream is about, in the order of creation by kind. One slice at least."""
    with deps.store.snapshot() as revision:
        keys = _keys(deps, wanted)
        first = _slice(deps, wanted, form, revision, keys[:SLICE])
    yield first
    for at in range(SLICE, len(keys), SLICE):
        # Within one commit, so that a deployment and the VMs it names fit each other.
        with deps.store.snapshot():
            more = _slice(deps, wanted, form, revision, keys[at : at + SLICE])
        yield more


def _keys(deps: Deps, wanted: Wanted) -> list[Key]:
    kinds = [kind for kind in _ORDER if wanted.kinds is None or kind in wanted.kinds]
    if wanted.names is not None:
        return [Key(kind, name) for kind in kinds for name in sorted(wanted.names)]
    return [key for kind in kinds for key in _keys_of(deps, kind, wanted.plugin)]


def _keys_of(deps: Deps, kind: Kind, plugin: str | None) -> list[Key]:
    if plugin is not None and kind == "Plugin":
        return [Key(kind, plugin)]
    return deps.store.keys(kind, plugin=plugin)


def _slice(deps: Deps, wanted: Wanted, form: Format, revision: int, keys: Sequence[Key]) -> Slice:
    found = [obj for key in keys if (obj := deps.store.find(key)) is not None and wanted.shows(obj)]
    frames = [form.state(obj.meta.kind, _ENCODER.encode(_view(deps, obj))) for obj in found]
    return Slice(revision, len(frames), b"".join(frames))


def _view(deps: Deps, obj: Object) -> Any:
    """The object as GET shows it."""
    if isinstance(obj, Plugin):
        return plugin_view(obj)
    if isinstance(obj, Deployment):
        live = [child for child in deps.store.children(obj.meta.uid) if not child.is_deleting]
        ready = sum(child.is_ready for child in live)
        shape = Shape.of(obj, deps.store.template_number(obj.meta.uid), (child.template for child in live))
        return deployment_view(obj, (child.name for child in live), ready, deps.network_mode, shape)
    if isinstance(obj, Sync):
        return sync_view(obj, deps.attempts(obj.meta.name))
    return vm_view(obj, deps.last_check(obj))
