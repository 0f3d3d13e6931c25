"""The one layer around the routes: names the request, asks the guard, and answers every error.

One layer and not one a concern, because each costs as much as encoding a VM. It is pure ASGI and passes `send` on as
it is, so a stream writes straight to the server.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from itertools import count
from typing import Any, NoReturn

from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from volant.api.body import decode_query
from volant.api.call import CALL, Answer, Call, Context
from volant.api.guard import Guard
from volant.api.problems import answer_to
from volant.errors import MethodNotAllowed, NoSuchPath
from volant.model.queries import NoQuery

BASE = "/api/v1"
"""What every path of the API begins with."""

Handler = Callable[[Call, Any], Awaitable[Answer | None]]
"""What a route does: its answer, or None when it has sent one itself. The second argument is its query Struct."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class Front:
    """ASGI application around the router."""

    def __init__(self, router: ASGIApp, context: Context) -> None:
        self._router = router
        self._context = context
        self._guard = Guard(context.deps.allowed_hosts, context.deps.stopping)
        self._prefix = context.deps.uids()[:12]
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the server's own lifespan messages go to the router."""
        if scope["type"] == "lifespan":
            await self._router(scope, receive, send)
            return
        headers = dict(scope["headers"])
        answers = send
        if scope["type"] == "websocket":
            scope["method"], answers = "GET", _refusing(send)
        call = Call(self._context, scope, receive, answers, headers, self._request_id(headers))
        scope[CALL] = call
        try:
            self._guard.check(scope, headers)
            await self._router(scope, receive, send)
        except Exception as error:  # noqa: BLE001 -- because every failure is an answer
            accept, path = headers.get(b"accept", b""), scope.get("raw_path", b"")
            answer = answer_to(error, call.request_id, accept=accept, path=path)
            if not call.is_answered:
                await call.answer(answer)
        finally:
            # The scope holds the call and the call the scope: left like that, each request would be garbage that only
            # the cycle collector finds, at a fifth of a request's time.
            del scope[CALL]

    def _request_id(self, headers: Mapping[bytes, bytes]) -> str:
        """The caller's own id if it is harmless to write down, else one that was never used before."""
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given.decode()
        return f"{self._prefix}-{next(self._numbers)}"


def _refusing(send: Send) -> Send:
    """Answers a request for a WebSocket with what any request is answered with: there is none then."""

    async def refuse(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return refuse


@dataclass(slots=True)
class Method:
    """One method of a route: who handles it, what it takes and what it answers.

    `body`: the Struct of the request, None without one. `gives`: the type of the answer with `status`, None without a
    body. `also`: the same for other statuses. `errors`: codes of `volant.api.codes` beyond those that every route has.
    `name`: the operationId, made of the handler's own name when absent. Only `handler` and `query` are used to answer a
    request; the rest is what the OpenAPI document says of it.
    """

    handler: Handler
    query: type[Struct] = NoQuery
    _: KW_ONLY
    body: Any = None
    gives: Any = None
    status: int = 200
    errors: tuple[str, ...] = ()
    also: Mapping[int, Any] = field(default_factory=dict)
    name: str | None = None
    _nothing: Struct = field(init=False)

    def __post_init__(self) -> None:
        self._nothing = self.query()

    def asked(self, query_string: bytes) -> Struct:
        """The query parameters. Raises Invalid, also for one that is not taken."""
        return decode_query(query_string, self.query) if query_string else self._nothing


class Resource:
    """One path and its methods, as an ASGI application. HEAD is GET without the body."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = dict(methods)
        if "GET" in methods:
            self._methods["HEAD"] = methods["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the method, call its handler, send the answer."""
        method = self._methods.get(scope["method"])
        if method is None:
            allow = sorted(self._methods)
            raise MethodNotAllowed(
                f"cannot {scope['method']} {scope['path']}. Use {' or '.join(allow)}.", details={"allow": allow}
            )
        call: Call = scope[CALL]
        answer = await method.handler(call, method.asked(scope["query_string"]))
        if answer is not None:
            await call.answer(answer)


async def no_such_path(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    """What the router does with a path that no route has."""
    raise NoSuchPath(scope["path"])
