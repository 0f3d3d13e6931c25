"""An object as the manifest that would make it, without what is so by itself. Pure.

What it says is what the object is: applied to it, it changes nothing. `replicas` is always said, because it is what
people look for.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from volant.model.apply.documents import live
from volant.model.apply.leaves import nested
from volant.model.apply.merge import Fields
from volant.model.deployment import Deployment
from volant.model.meta import Kind
from volant.model.objects import Object
from volant.model.plugin import Plugin
from volant.model.sync import Sync
from volant.model.vm import VM


class ExportedView(Struct, frozen=True, kw_only=True):
    """An object in the words of an apply: what `POST /apply` takes as one of its `objects`."""

    kind: Kind
    metadata: dict[str, Any]
    spec: dict[str, Any]


class Kept(ExportedView, frozen=True, kw_only=True):
    """A manifest of what was pruned, and who had said which field of it: manager -> pointers."""

    said: dict[str, frozenset[str]] = {}


def exported(obj: Object) -> ExportedView:
    """The manifest of an object: kind, metadata, spec."""
    whole = nested(live(obj))
    metadata = {"name": obj.meta.name, **whole.get("metadata", {})}
    assert not isinstance(obj, Sync)  # noqa: S101 -- a sync is of the settings, and no manifest makes one
    spec = _of_plugin(obj) if isinstance(obj, Plugin) else _told(obj, whole["spec"])
    return ExportedView(kind=obj.meta.kind, metadata=metadata, spec=spec)


def _told(obj: VM | Deployment, whole: dict[str, Any]) -> dict[str, Any]:
    # The spec itself leaves out what is as it would be by itself.
    said = msgspec.to_builtins(obj.spec).keys() | {"plugin", "replicas"}
    return {name: value for name, value in whole.items() if name in said}


def _of_plugin(plugin: Plugin) -> dict[str, Any]:
    # Not by its leaves: in an OpenAPI document null and empty objects mean something.
    manifest = msgspec.to_builtins(plugin.spec.manifest)
    said = {name: value for name, value in manifest.items() if name not in ("name", "labels")}
    return said if plugin.spec.enabled else {**said, "enabled": False}


def kept(obj: Object, said: Fields) -> Kept:
    """The manifest of an object that goes, so that it can be made again as if it had never gone."""
    view = exported(obj)
    fields = {manager: frozenset(paths) for manager, paths in said.items()}
    return Kept(kind=view.kind, metadata=view.metadata, spec=view.spec, said=fields)
