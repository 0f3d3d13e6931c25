"""How a body is read, piece by piece."""

from __future__ import annotations

from typing import Any, cast

import pytest

from volant.api.call import MAX_BODY, Call, Context
from volant.errors import Invalid, TooLarge
from volant.model.requests import Scale


def a_call(*messages: dict[str, Any]) -> Call:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    async def send(_: Any) -> None:
        raise AssertionError("nothing is sent")

    return Call(cast("Context", None), {"method": "PATCH"}, receive, send, {}, "req-1")


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_pieces_are_one_body() -> None:
    call = a_call(piece(b'{"repl'), piece(b""), piece(b'icas": 3}', more=False))
    assert (await call.body(Scale)).replicas == 3


async def test_a_body_that_breaks_off_is_not_acted_on() -> None:
    """G7: not even when what has come is sound."""
    with pytest.raises(Invalid) as caught:
        await a_call(piece(b'{"replicas": 0}'), {"type": "http.disconnect"}).body(Scale)
    assert caught.value.code == "malformed_json"


async def test_a_body_that_grows_over_the_limit_is_read_no_further() -> None:
    """G7"""
    half = piece(b" " * (MAX_BODY // 2 + 1))
    with pytest.raises(TooLarge):
        await a_call(half, half).body(Scale)
