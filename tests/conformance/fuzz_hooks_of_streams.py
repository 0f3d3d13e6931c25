"""What schemathesis is told in its own process when it reads streams: what each event of one looks like.

OpenAPI has a word for that since 3.2 (`itemSchema`), and schemathesis knows it; 3.0.3 and 3.1 say it in prose. So it is
added to the document here, out of the components that the document has.
"""

from __future__ import annotations

from typing import Any, get_args

import schemathesis
from tests.conformance.fuzz_hooks import after_call, before_call, filter_failure

from volant.api.frames import Word
from volant.model.event import EventType

__all__ = ["after_call", "before_call", "before_load_schema", "filter_failure"]

OBJECTS = {"vm": "VM", "deployment": "Deployment", "plugin": "Plugin"}


def _said(words: list[str], *, has_id: bool, **content: Any) -> dict[str, Any]:
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    return {
        "type": "object",
        "properties": {"id": {"type": "string"}, "event": {"type": "string", "enum": words}, "data": data},
        "required": ["event", "data", *(["id"] if has_id else [])],
    }


def _refers(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


ITEM = {
    "anyOf": [
        _said(list(get_args(EventType)), has_id=True, **_refers("EventData")),
        *(_said([f"{kind}.state"], has_id=False, **_refers(name)) for kind, name in OBJECTS.items()),
        _said(list(get_args(Word)), has_id=False, type="object"),
        # Nothing but a place to resume from.
        {"type": "object", "properties": {"id": {"type": "string"}}, "maxProperties": 1},
    ]
}


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Say of each stream what it is made of."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            stream = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream")
            if stream is not None:
                stream["itemSchema"] = ITEM
