"""The consoles of guests: what was said, what is said, and being on one.

    log(...)      a Call like any other
    followed(...) what a guest says from now on, piece by piece, until its VM is deleted or the daemon stops
    attached(...) a Console: read and write, over a WebSocket

What guests say is theirs: it may hold control sequences that a terminal obeys.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from httpx2.websockets import AsyncWebSocketSession, HTTPXWSException, WebSocketDisconnect, WebSocketUpgradeError

from volant.client.address import needs_tls, silence
from volant.client.call import Answer, Call, asked, at, failure
from volant.model.console import ConsoleEnd, console_end

FRAME_BYTES = 1 << 14
"""Of what is typed at a time: the daemon takes four times as much."""


class Console:
    """Somebody on a guest's console. `end` says why nobody is any more, None while somebody is."""

    def __init__(self, session: AsyncWebSocketSession) -> None:
        self._session = session
        self.end: ConsoleEnd | None = None

    async def read(self) -> bytes:
        """What the guest says next; empty at the end."""
        while self.end is None:
            try:
                event = await self._session.receive()
            except WebSocketDisconnect as error:
                self.end = console_end(error.code)
            except HTTPXWSException:
                self.end = "broken"
            else:
                data = _said(event)
                if data:
                    return data
        return b""

    async def write(self, data: bytes) -> None:
        """Type it. After the end it goes nowhere: `read` tells."""
        for start in range(0, len(data), FRAME_BYTES):
            if self.end is not None:
                return
            try:
                await self._session.send_bytes(data[start : start + FRAME_BYTES])
            except (HTTPXWSException, ValueError, RuntimeError):
                return  # The reader hears of the end, with its reason.


@asynccontextmanager
async def attached(url: str, name: str, *, force: bool, timeout_s: float) -> AsyncIterator[Console]:
    """Be on a console for as long as the context lasts. Raises ApiError, NoAnswer."""
    hooks = {"response": [_keep_refusal]}
    client = httpx2.AsyncClient(
        base_url=url, trust_env=False, timeout=timeout_s, verify=needs_tls(url), event_hooks=hooks
    )
    query = asked(force=force or None)
    async with client:
        try:
            async with client.websocket(at("vms", name, "console"), params=query) as session:
                yield Console(session)
        except WebSocketUpgradeError as error:
            refusal = error.response
            raise failure(Answer(refusal.status_code, refusal.headers, refusal.content)) from error
        except httpx2.HTTPError as error:
            raise silence(
                url, error, is_reached=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            ) from error


async def followed(http: httpx2.AsyncClient, url: str, call: Call[str], timeout_s: float) -> AsyncGenerator[str, None]:
    """What comes of a call that goes on. Raises ApiError, NoAnswer."""
    limits = httpx2.Timeout(timeout_s, read=None)  # because a guest may be silent for days
    try:
        async with http.stream(call.method, call.path, params=call.query, timeout=limits) as answer:
            if not answer.is_success:
                raise failure(Answer(answer.status_code, answer.headers, await answer.aread()))
            async for text in answer.aiter_text():
                yield text
    except httpx2.HTTPError as error:
        raise silence(
            url, error, is_reached=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        ) from error


async def _keep_refusal(response: httpx2.Response) -> None:
    if response.status_code != httpx2.codes.SWITCHING_PROTOCOLS:
        await response.aread()


def _said(event: object) -> bytes:
    """The bytes of a message; none of anything else."""
    data: object = getattr(event, "data", b"")
    return data.encode() if isinstance(data, str) else bytes(data) if isinstance(data, bytes | bytearray) else b""
