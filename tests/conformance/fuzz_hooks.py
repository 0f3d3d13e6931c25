"""What schemathesis is told in its own process: `SCHEMATHESIS_HOOKS=tests.conformance.fuzz_hooks`.

Valid requests are changed into other valid requests, never an invalid one, so that what they are after is reached:

* a wait ends soon, because thousands of them have to;
* an artifact comes from nowhere but this host, because no test asks the network;
* most keys are new, most preconditions hold and most trials become writes, else few writes would get further than that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree
from tests.conformance.unsaid import is_unsaid

from volant.model.goals import seconds
from volant.model.plugin import Url

SOON = "20ms"
NOWHERE = "http://127.0.0.1:9/nothing"
KEY = re.compile(r"[!-~]([ -~]{0,200}[!-~])?")
URL = re.compile(Url.__metadata__[0].pattern)  # type: ignore[attr-defined]  # because it is an Annotated
REMOTE = re.compile(r"https?:")

_numbers = count()
_still_there: set[str] = set()
"""The cases in which a DELETE said that the object is still there."""


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Change what is about to be sent."""
    is_easy = bool(next(_numbers) % 3)
    if isinstance(case.query, dict) and any(parameter.name == "timeout" for parameter in case.operation.query):
        _end_soon(case.query)
        if is_easy and case.query.get("dry_run") in (True, "true"):
            case.query["dry_run"] = False
    if is_easy:
        ease(case)
    for holder in _objects(case.body):
        url = holder.get("url")
        if isinstance(url, str) and URL.search(url) and REMOTE.match(url):
            holder["url"] = NOWHERE


def ease(case: schemathesis.Case[Any]) -> None:
    """Nothing that was asked before, or has happened since, stands in its way."""
    headers = case.headers
    if KEY.fullmatch(str(headers.get("Idempotency-Key", ""))):
        headers["Idempotency-Key"] = f"{headers['Idempotency-Key']}-{next(_numbers)}"
    if headers.get("If-Match"):
        headers["If-Match"] = "*"


@schemathesis.hook
def after_call(
    context: schemathesis.HookContext, case: schemathesis.Case[Any], response: schemathesis.Response
) -> None:
    """Remember what a DELETE has said."""
    if case.operation.method == "delete" and response.status_code in (200, 202):
        _still_there.add(case.id)


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Exception, case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Whether it is one."""
    if isinstance(failure, UseAfterFree):
        # A trial (200) changes nothing, and 202 says that it is not gone yet.
        return failure.deleted_case_id not in _still_there
    if not isinstance(failure, RejectedPositiveData):
        return True
    document: Any = case.operation.schema.raw_schema
    return not is_unsaid(response.json(), document["openapi"])


def _end_soon(query: dict[str, Any]) -> None:
    given = query.setdefault("timeout", SOON)
    try:
        if seconds(given) > seconds(SOON):
            query["timeout"] = SOON
    except (ValueError, TypeError):
        return  # because it is meant to be refused


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for part in list(value.values() if isinstance(value, dict) else value):
            yield from _objects(part)
