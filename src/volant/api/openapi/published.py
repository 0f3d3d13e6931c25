"""The files below `docs/` that are made of the code: the document, and a JSON Schema of each thing that users write.

    Structs ──▶ docs/schemas/*.json     for editors and linters (2020-12)
    route table ──▶ docs/openapi.json   3.0.3; what it says is compared with what it said before

Committed, because a change of the API shall be seen where it is reviewed. `make schemas` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from volant.api.openapi.document import Routes, document
from volant.api.openapi.manifests import manifests
from volant.api.openapi.oas30 import to_oas30
from volant.api.openapi.schemas import Components, Schema
from volant.model.plugin import Manifest
from volant.model.requests import AskedConfig, NewDeployment, NewVM

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SCHEMAS: Mapping[str, tuple[Any, str]] = {
    "manifest": (Manifest, "A plugin: the body of POST /plugins"),
    "vm": (NewVM, "A VM: the body of POST /vms"),
    "deployment": (NewDeployment, "A deployment: the body of POST /deployments"),
    "config": (AskedConfig, "The config of a VM or a deployment"),
}
"""Name of the file -> its Struct and title."""


def files(table: Routes) -> dict[str, str]:
    """Path below `docs/` -> content."""
    made = {f"schemas/{name}.json": schema(cls, name, title) for name, (cls, title) in SCHEMAS.items()}
    made["schemas/manifests.json"] = manifests(DIALECT)
    made["openapi.json"] = to_oas30(document(table))
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in made.items()}


def schema(cls: Any, name: str, title: str) -> Schema:
    """The JSON Schema of one Struct, with all that it refers to."""
    components = Components(asked=[cls], given=(), ref="#/$defs/{name}")
    root = components.schemas.pop(components.asked[cls]["$ref"].rpartition("/")[2])
    head = {"$schema": DIALECT, "$id": f"urn:volant:schema:{name}", "title": title}
    return {**head, **root, "$defs": dict(sorted(components.schemas.items()))}
