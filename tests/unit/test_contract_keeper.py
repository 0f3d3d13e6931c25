"""What holds answers against the OpenAPI document complains when it should."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.builders.contract import keeps_its_word

NAMES = {"plugins": ["hello"]}
COUNTED = {"x-request-id": "r", "x-total-count": "1", "volant-revision": "1", "volant-events-since": "0"}
PROBLEM = {"error": "VM not found", "code": "vm_not_found", "details": {}, "request_id": "r"}


def an_answer(
    path: str = "/plugins", status: int = 200, body: Any = NAMES, verb: str = "GET", **headers: Any
) -> httpx2.Response:
    more = {name.replace("_", "-"): value for name, value in headers.items()} or COUNTED
    request = httpx2.Request(verb, f"http://127.0.0.1/api/v1{path}")
    return httpx2.Response(status, json=body, headers=more, request=request)


@pytest.mark.parametrize(
    "answer",
    [
        an_answer(),
        an_answer("/vms/a", 404, PROBLEM, x_request_id="r"),
        an_answer("/nothing", 404, {"anything": 1}),
        an_answer("/plugins", 405, {**PROBLEM, "code": "method_not_allowed"}, verb="PUT"),
    ],
)
async def test_an_answer_that_is_described_passes(answer: httpx2.Response) -> None:
    await keeps_its_word(answer)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (an_answer(status=418), "418 is not described"),
        (an_answer(body={"plugins": [1]}), "is not of type 'string'"),
        (an_answer(body={}), "'plugins' is a required property"),
        (an_answer(body={**NAMES, "more": 1}), "'more' was unexpected"),
        (an_answer(x_request_id="r"), r"\['x-total-count', .*\] are missing"),
        (an_answer(**dict[str, Any](COUNTED, etag='"1"')), r"\['etag'\] are not described"),
        (an_answer(**dict[str, Any](COUNTED, content_type="text/plain")), "text/plain is not described"),
        (an_answer("/vms/a", 404, {**PROBLEM, "code": "plugin_not_found"}, x_request_id="r"), "code plugin_not_found"),
    ],
)
async def test_an_answer_that_is_not_described_fails(answer: httpx2.Response, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        await keeps_its_word(answer)
