"""The OpenAPI document, from the route table and the Structs.

    route table ──┐
    Structs ──────┼──▶ 3.1 ──oas30──▶ 3.0.3
    codes ────────┘

Nothing is written twice: paths, parameters, bodies, answers and errors are those that requests are decoded and answered
with, and the sentences are the handlers' own docstrings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from volant.api.codes import CODES
from volant.api.front import Method
from volant.api.openapi import headers
from volant.api.openapi.links import Operation, links_of, with_links
from volant.api.openapi.prose import TAGS, operation_id, sentences
from volant.api.openapi.refusals import KINDS, Refusals
from volant.api.openapi.responses import LIST_TYPES, TAGGED, UNCACHED, answer, is_stream, request_body, trials
from volant.api.openapi.schemas import Components, Schema, parameters_of
from volant.api.problems import Problem, ProblemDetails
from volant.model.meta import Name

VERSION = "3.1.0"
BASE = "/api/v1"

Routes = Mapping[str, Mapping[str, Method]]

INFO = {
    "title": "Volant API",
    "version": "v1",
    "description": "VM orchestration and plugin management",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}


_CODE = {"type": "string", "description": "What programs look at.", "enum": sorted(CODES)}


class Route(NamedTuple):
    """One method of one path. `verb` is in lower case, `collection` is the first step of the path after the base."""

    path: str
    verb: str
    method: Method

    @property
    def collection(self) -> str:
        """`vms`, or `healthz` of a path without the base."""
        return self.path.removeprefix(BASE).split("/")[1]

    @property
    def is_on_object(self) -> bool:
        """Whether it names an object."""
        return "{" in self.path

    @property
    def operation(self) -> Operation:
        """What links know of it."""
        summary, _ = sentences(self.method.handler)
        return Operation(operation_id(self.method), self.verb, self.path, summary)


def routes_of(table: Routes) -> Iterator[Route]:
    """The table in the order of the document: collections as they stand in `TAGS`, short paths first."""
    found = [Route(path, verb.lower(), method) for path, methods in table.items() for verb, method in methods.items()]
    order = list(TAGS)
    return iter(sorted(found, key=lambda r: (order.index(r.collection), r.path, r.verb)))


def document(table: Routes) -> Schema:
    """The document in OpenAPI 3.1, as JSON has it."""
    routes = list(routes_of(table))
    components = Components(asked=[*_asked(routes), Name], given=[*_given(routes), Problem, ProblemDetails])
    for name in ("Problem", "ProblemDetails"):
        components.schemas[name]["properties"]["code"] = _CODE
    trials(components)
    refusals = Refusals(components.given[Problem], components.given[ProblemDetails])
    paths: dict[str, Schema] = {}
    operations = [route.operation for route in routes]
    for route in routes:
        paths.setdefault(route.path, {})[route.verb] = _operation(route, operations, components, refusals)
    return {
        "openapi": VERSION,
        "info": INFO,
        "servers": [{"url": "/", "description": "The daemon that serves this document."}],
        "tags": [{"name": tag, "description": text} for tag, text in dict(TAGS.values()).items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "parameters": dict(headers.REQUEST),
            "headers": dict(headers.ANSWER),
            "responses": dict(sorted(refusals.responses.items())),
        },
    }


def _operation(route: Route, operations: list[Operation], components: Components, refusals: Refusals) -> Schema:
    method, here = route.method, route.operation
    summary, description = sentences(method.handler)
    own = refusals.of(here, route.collection, method.errors)
    answers = with_links(_answers(route, components), links_of(here, operations))
    return {
        "operationId": here.id,
        "tags": [TAGS[route.collection][0]],
        "summary": summary,
        **({"description": description} if description else {}),
        "parameters": _parameters(route, components),
        **({"requestBody": request_body(method.body, route.verb, components)} if method.body is not None else {}),
        "responses": dict(sorted({**own, **answers}.items())),
    }


def _answers(route: Route, components: Components) -> dict[str, Schema]:
    given = {route.method.status: route.method.gives, **route.method.also}
    if _is_cached(route) and route.verb == "get":
        given[304] = None
    answers = {}
    for status, cls in given.items():
        lines = headers.given_by(
            route.verb,
            status,
            is_tagged=_is_tagged(route),
            is_list=route.method.gives in LIST_TYPES,
            is_stream=is_stream(route.method.gives),
        )
        has_fields = "fields" in route.method.query.__struct_fields__
        answers[str(status)] = answer(
            operation_id(route.method), status, cls, lines, components, has_fields=has_fields and cls is not None
        )
    return answers


def _parameters(route: Route, components: Components) -> list[Schema]:
    parameters: list[Schema] = []
    if route.is_on_object:
        parameters.append(
            {
                "name": "name",
                "in": "path",
                "required": True,
                "description": f"The name of the {KINDS[route.collection]}.",
                "schema": {k: v for k, v in components.asked[Name].items() if k != "description"},
            }
        )
    for name, schema, required in parameters_of(route.method.query):
        parameters.append(_query_parameter(name, schema, is_required=required))
    return parameters + headers.asked_by(
        route.verb,
        on_object=route.is_on_object,
        is_cached=_is_cached(route),
        is_stream=is_stream(route.method.gives),
    )


def _query_parameter(name: str, schema: Schema, *, is_required: bool) -> Schema:
    schema = dict(schema)
    description = schema.pop("description", "")
    return {
        "name": name,
        "in": "query",
        **({"required": True} if is_required else {}),
        "description": description,
        "schema": schema,
    }


def _is_tagged(route: Route) -> bool:
    return not {route.method.gives, route.operation.id, *route.method.also.values()}.isdisjoint(TAGGED)


def _is_cached(route: Route) -> bool:
    return _is_tagged(route) and route.operation.id not in UNCACHED


def _asked(routes: list[Route]) -> list[Any]:
    return [route.method.body for route in routes if route.method.body is not None]


def _given(routes: list[Route]) -> list[Any]:
    found = [cls for route in routes for cls in (route.method.gives, *route.method.also.values())]
    return [cls for cls in found if cls not in (None, str)]
