"""What schemathesis is told in its own process: `SCHEMATHESIS_HOOKS=tests.conformance.fuzz_hooks`.

Valid requests are changed into other valid requests, never an invalid one, so that what they are after is reached:

* a wait ends soon, because thousands of them have to, and nobody follows a console, which ends never;
* an artifact comes from nowhere but this host, because no test asks the network;
* most names and keys are new, most preconditions hold and most trials become writes, else few writes would get further;
  but most VMs are only tried, because a host with hundreds of them has no time for questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from itertools import count
from typing import Any

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree
from tests.conformance.unsaid import is_unsaid

from volant.model.goals import seconds
from volant.model.meta import is_name
from volant.model.plugin import Url

SOON = "20ms"
NOWHERE = "http://127.0.0.1:9/nothing"
KEY = re.compile(r"[!-~]([ -~]{0,200}[!-~])?")
URL = re.compile(Url.__metadata__[0].pattern)  # type: ignore[attr-defined]  # because it is an Annotated
TRUE = (True, "true")
REMOTE = re.compile(r"https?:")

_numbers = count()
_still_there: set[str] = set()
"""The cases in which a DELETE said that the object is still there."""


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Change what is about to be sent."""
    # Because cases are made of the same examples, over and over.
    case.query = dict(case.query)
    if isinstance(case.body, dict | list):
        case.body = deepcopy(case.body)
    number = next(_numbers)
    if any(parameter.name == "timeout" for parameter in case.operation.query):
        _end_soon(case.query)
    if case.query.get("follow") in TRUE:
        case.query["follow"] = False
    if number % 3:
        ease(case)
        if _makes_vms(case) and number % 7:
            case.query["dry_run"] = True
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
    if case.query.get("dry_run") in TRUE:
        case.query["dry_run"] = False
    body: Any = case.body
    if case.operation.method == "put" and isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        body["metadata"]["name"] = case.path_parameters["name"]
    name = body.get("name") if isinstance(body, dict) else None
    if isinstance(name, str) and is_name(name):
        body["name"] = f"{name[:32].rstrip('-')}-{next(_numbers)}"


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


def _makes_vms(case: schemathesis.Case[Any]) -> bool:
    if not isinstance(case.body, dict) or case.query.get("dry_run", False) is not False:
        return False
    spec = case.body.get("spec")
    return "plugin" in (spec if isinstance(spec, dict) else case.body)


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
