"""Holds every answer against the OpenAPI document: its status, headers, media type, body and error code.

    server builder ──each answer──▶ keeps_its_word ──▶ AssertionError in the test that asked

So whatever the tests of the API provoke is described, or the test fails. Stricter than the document, in which objects
may grow: here an object has no field that is not described.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

from volant.api.app import ROUTES
from volant.api.openapi.document import document

LARGE = 200_000
"""Bytes: a longer list is of more of the same, and takes seconds to look at."""

OURS = re.compile(r"volant-.*|etag|location|link|x-total-count|x-request-id|retry-after|idempotent-replayed")
UNROUTED = {"not_found", "method_not_allowed"}


async def keeps_its_word(answer: httpx2.Response) -> None:
    """Raises AssertionError when the answer is not one of those that its operation is said to give."""
    request = answer.request
    found = _operation(request.url.path, request.method)
    media = answer.headers.get("content-type", "").partition(";")[0]
    if found is None or answer.status_code == 101 or media in ("text/event-stream", "application/x-ndjson"):
        return
    body = await answer.aread()
    if len(body) > LARGE:
        return
    where, operation = found
    value = json.loads(body) if body and media != "text/plain" else body.decode()
    if isinstance(value, dict) and value.get("code") in UNROUTED:
        return
    said = operation["responses"].get(str(answer.status_code))
    assert said is not None, f"{where}: {answer.status_code} is not described: {body[:300]!r}"
    said = _resolved(said)
    _check_headers(f"{where} {answer.status_code}", said, answer)
    if body:
        content = said.get("content", {}).get(media)
        assert content is not None, f"{where}: {answer.status_code} {media} is not described"
        _check_body(f"{where} {answer.status_code}", content, value)


def _check_headers(where: str, said: Any, answer: httpx2.Response) -> None:
    known = {name.lower(): _resolved(header) for name, header in said.get("headers", {}).items()}
    more = [name for name in answer.headers if OURS.fullmatch(name) and name not in known]
    assert not more, f"{where}: headers {more} are not described"
    missing = [name for name, header in known.items() if header.get("required") and name not in answer.headers]
    assert not missing, f"{where}: headers {missing} are missing"


def _check_body(where: str, content: Any, body: Any) -> None:
    errors = [f"{e.json_path}: {e.message}" for e in _validator(json.dumps(content["schema"])).iter_errors(body)]
    assert not errors, f"{where}: {errors}"
    if isinstance(body, dict) and "error" in body and "request_id" in body:
        assert body["code"] in content["examples"], f"{where}: code {body['code']} is not described"


@cache
def _document() -> Any:
    return _closed(document(ROUTES))


def _closed(part: Any) -> Any:
    """The same with every object that has properties having no others."""
    if isinstance(part, list):
        return [_closed(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(inner) for key, inner in part.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": _document()["components"]})


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in _document()["paths"]]


def _operation(path: str, verb: str) -> tuple[str, Any] | None:
    for pattern, template in _patterns():
        if pattern.fullmatch(path):
            operation = _document()["paths"][template].get(verb.lower())
            return None if operation is None else (f"{verb} {template}", operation)
    return None


def _resolved(part: Any) -> Any:
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    return _document()["components"][kind][name]
