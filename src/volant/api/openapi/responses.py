"""Bodies: of requests, of answers, and of streams."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from volant.api.fields import PARTIAL
from volant.api.openapi import examples
from volant.api.openapi.schemas import Components, Schema, public_name
from volant.model.event import EventData
from volant.model.views import ConfigView, DeploymentView, PluginNames, PluginView, VMView

TAGGED = frozenset({VMView, DeploymentView, PluginView, ConfigView, "getOpenAPI"})
"""Answers that show one object, and operations whose answer is another thing that has an ETag."""

UNCACHED = frozenset({"getDeployment"})
"""Operations whose answer has an ETag and changes without it."""

LIST_TYPES = (list[VMView], list[DeploymentView], PluginNames)
"""Answers that are counted."""

WORDS = {
    101: "The connection is a WebSocket from now on.",
    200: "Success.",
    201: "Created.",
    202: "Accepted: it is on its way, and was not there yet when waiting ended.",
    204: "Done: nothing is left of it.",
    304: "The caller has this revision already.",
    503: "Not well: `checks` says which part, and why.",
}

PART: Schema = {"type": "object", "description": "The wanted fields, each where the whole object has it."}

STREAM = """A stream that goes on until either side ends it.

As `text/event-stream`, each event has its revision as `id`, its type as `event`, and one line of JSON, an `EventData`,
as `data`. Lines that begin with `:` are heartbeats. The stream also says `reset` (events are missing: it was resumed
too late, or read too slowly) and `bye` (the daemon stops; connect again). As `application/x-ndjson`, which is what an
`Accept` of that type asks for, each line is a `StreamedEvent`."""


def trials(components: Components) -> None:
    """Add what `?dry_run=true` adds to the answer of a write."""
    for cls in (VMView, DeploymentView, PluginView, ConfigView):
        properties = components.schemas[public_name(cls)]["properties"]
        properties["dry_run"] = {"type": "boolean", "description": "That nothing of this was done."}
        properties["changes"] = {
            "type": "object",
            "description": "Of a dry run: dotted path -> `old` and `new`; `created` or `deleted` for the whole.",
            "additionalProperties": {"anyOf": [{"type": "boolean"}, {"$ref": "#/components/schemas/Change"}]},
        }


def is_stream(cls: Any) -> bool:
    """Whether an answer of this type goes on."""
    return cls is EventData


def request_body(cls: Any, verb: str, components: Components) -> Schema:
    """A request body, with its examples. A PATCH may also say that it is a merge patch (RFC 7396)."""
    content = {"schema": components.asked[cls], "examples": examples.asked(cls)}
    media = ["application/json", *(["application/merge-patch+json"] if verb == "patch" else [])]
    return {"required": True, "content": dict.fromkeys(media, content)}


def answer(
    operation: str, status: int, cls: Any, lines: Schema, components: Components, *, has_fields: bool = False
) -> Schema:
    """One answer that is no error."""
    description = WORDS.get(status, HTTPStatus(status).phrase)
    if cls is None:
        return {"description": description, "headers": lines}
    if is_stream(cls):
        return {"description": STREAM, "headers": lines, "content": _streamed(cls, components)}
    if cls is str:
        text: Schema = {"schema": {"type": "string"}, "examples": {"answer": {"value": examples.CONSOLE}}}
        return {"description": description, "headers": lines, "content": {"text/plain": text}}
    example = examples.given(operation, cls)
    content: Schema = {"application/json": {"schema": components.given[cls]}}
    if example is not None:
        content["application/json"]["examples"] = {"answer": {"value": example}}
    if has_fields:
        content[PARTIAL.decode()] = _partial(example)
    return {"description": description, "headers": lines, "content": content}


def _partial(example: Any) -> Schema:
    """What `?fields=name` gives: the same answer, of which each object has what was asked for only."""
    if isinstance(example, list):
        return {"schema": {"type": "array", "items": PART}, "examples": {"name": {"value": [{"name": "web-1"}]}}}
    if "plugins" in example:
        rows = {
            "title": "PluginParts",
            "type": "object",
            "properties": {"plugins": {"type": "array", "items": PART}},
            "required": ["plugins"],
        }
        return {"schema": rows, "examples": {"name": {"value": {"plugins": [{"name": "nginx-alpine"}]}}}}
    return {"schema": PART, "examples": {"name": {"value": {"name": "web-1"}}}}


def _streamed(cls: Any, components: Components) -> Schema:
    event = examples.given("", cls)
    components.schemas["StreamedEvent"] = {
        "type": "object",
        "description": "One line of the stream as NDJSON. `id` is null where resuming there makes no sense. `data` is "
        "an `EventData`; of `<kind>.state` the object, of `bookmark`, `reset`, `bye` and `beat` what the stream tells.",
        "properties": {
            "id": {"anyOf": [{"type": "integer", "format": "int64"}, {"type": "null"}]},
            "event": {"type": "string"},
            "data": {"anyOf": [components.given[cls], {"type": "object", "additionalProperties": True}]},
        },
        "required": ["id", "event", "data"],
    }
    line = {"id": event["revision"], "event": "vm.started", "data": event}
    sse = f"id: {event['revision']}\nevent: vm.started\ndata: {json.dumps(event)}\n\n"
    return {
        "text/event-stream": {"schema": {"type": "string"}, "examples": {"started": {"value": sse}}},
        "application/x-ndjson": {
            "schema": {"$ref": "#/components/schemas/StreamedEvent"},
            "examples": {"started": {"value": line}},
        },
    }
