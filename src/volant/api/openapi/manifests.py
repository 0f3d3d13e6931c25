"""The JSON Schema of manifests, for editors: one schema, an alternative for each kind, and lists of them.

A plugin's `spec` is a plugin manifest without name and labels, which are in `metadata`, and may say `enabled`.
"""

from __future__ import annotations

from typing import Any

from volant.api.openapi.schemas import Components, Schema
from volant.model.apply.documents import DeploymentDocument, PluginDocument, VMDocument
from volant.model.plugin import Manifest

TITLE = "Manifests: what `volant apply` reads"
KINDS: tuple[type[Any], ...] = (PluginDocument, VMDocument, DeploymentDocument)


def manifests(dialect: str) -> Schema:
    """The schema, with all that it refers to."""
    components = Components(asked=[*KINDS, Manifest], given=(), ref="#/$defs/{name}")
    found = components.schemas
    spec = found.pop(_name(components, Manifest))
    enabled = {"type": "boolean", "default": True, "description": "Whether new VMs may be made of it."}
    properties = {key: value for key, value in spec["properties"].items() if key not in ("name", "labels")}
    required = [key for key in spec["required"] if key != "name"]
    told = {**spec, "title": "PluginTold", "properties": {**properties, "enabled": enabled}, "required": required}
    found[_name(components, PluginDocument)]["properties"]["spec"] = {"$ref": "#/$defs/PluginTold"}
    alternatives = [components.asked[cls] for cls in KINDS]
    items = {"type": "array", "items": {"oneOf": alternatives}}
    several = {
        "title": "List",
        "type": "object",
        "properties": {"kind": {"const": "List"}, "metadata": {"type": "object"}, "items": items},
        "required": ["kind", "items"],
        "additionalProperties": False,
    }
    return {
        "$schema": dialect,
        "$id": "urn:volant:schema:manifests",
        "title": TITLE,
        "oneOf": [*alternatives, {"$ref": "#/$defs/List"}],
        "$defs": dict(sorted({**found, "PluginTold": told, "List": several}.items())),
    }


def _name(components: Components, cls: type[Any]) -> str:
    ref: str = components.asked[cls]["$ref"]
    return ref.rpartition("/")[2]
