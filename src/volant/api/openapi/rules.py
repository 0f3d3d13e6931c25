"""What one field asks of another, as JSON Schema: the part of a Struct's own check that a schema can say.

Each rule follows from the check and is no stricter. 3.0.3 goes without, because generators make a class of every
alternative; so do the rules that need more than one object (a health check without a port, say): those stand in prose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from volant.model.document import OpenApi
from volant.model.plugin import Manifest, Workload

Schema = dict[str, Any]


def _given(**kinds: str) -> Schema:
    """Each of these fields is there, and is not null."""
    return {"required": list(kinds), "properties": {name: _of(kind) for name, kind in kinds.items()}}


def _of(kind: str) -> Schema:
    # An object of which nothing is said is an empty one to openapi-typescript, and nothing is also a Rootfs.
    return {"type": kind, **({"additionalProperties": True} if kind == "object" else {})}


RULES: Mapping[type, Schema] = {
    Manifest: {"anyOf": [_given(rootfs="object"), _given(initramfs="object", kernel="object")]},
    Workload: {"anyOf": [{"properties": {"type": {"const": "none"}}}, _given(port="integer")]},
    OpenApi: {"anyOf": [_given(document="object"), _given(file="string"), _given(path="string")]},
}
"""Struct -> what its schema has beside its fields."""
