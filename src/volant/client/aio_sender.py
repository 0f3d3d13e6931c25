"""What sends the calls of `AsyncClient`: with another try where that can do no harm.

Deliberately absent: a connection to any address but the one that was given.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import httpx2

from volant.client.address import REPEATS, checked, needs_tls, patience_s, silence
from volant.client.call import Answer, Call, Page, outcome
from volant.client.failures import ApiError, NoAnswer
from volant.client.following import SILENCE_S, Change, Pauses, Wait, Watch
from volant.clock import Clock, UidFactory

T = TypeVar("T")


class Sender:
    """Sends calls."""

    def __init__(
        self, url: str, timeout_s: float, repeats: int, clock: Clock, rng: random.Random, uids: UidFactory, app: Any
    ) -> None:
        self.url = checked(url)
        self.clock, self.rng = clock, rng
        self.timeout_s, self._repeats, self._uids = timeout_s, repeats, uids
        self.http = httpx2.AsyncClient(
            base_url=self.url,
            trust_env=False,
            timeout=timeout_s,
            verify=needs_tls(self.url),
            transport=None if app is None else httpx2.ASGITransport(app=app, raise_app_exceptions=False),
        )

    async def send(self, call: Call[T]) -> T:
        """The outcome of a call. Raises ApiError, NoAnswer, NotReached."""
        call = call.with_key(self._uids)
        pauses = Pauses(self.rng)
        for _ in range(self._repeats):
            try:
                return outcome(call, await self._once(call))
            except (NoAnswer, ApiError) as error:
                if not call.may_repeat(error):
                    raise
            await self.clock.sleep(pauses.next_s())
        return outcome(call, await self._once(call))

    async def every(self, first: Call[Page[T]]) -> list[T]:
        """All of a list. It begins again when the daemon no longer knows how it was to go on."""
        for _ in range(REPEATS):
            try:
                return await self._walk(first)
            except ApiError as error:
                if error.code != "page_expired":
                    raise
        return await self._walk(first)

    async def reach(self, ask: Callable[[int | None, float], Call[T]], generation: int | None, timeout_s: float) -> T:
        """Wait in slices. `ask` makes the call of one."""
        wait = Wait(self.rng, timeout_s, generation, self.clock.monotonic())
        while True:
            call = ask(wait.generation, wait.slice_s(self.clock.monotonic()))
            try:
                return outcome(call, await self._once(call))
            except (NoAnswer, ApiError) as error:
                await self.clock.sleep(wait.failed(error, self.clock.monotonic()))

    async def stream(self, watch: Watch) -> AsyncGenerator[Change, None]:
        """What one connection of a watch tells."""
        limits = httpx2.Timeout(self.timeout_s, read=SILENCE_S)
        headers = watch.begin()
        try:
            async with self.http.sse(watch.path, params=watch.query, headers=headers, timeout=limits) as source:
                if not source.response.is_success:
                    body = await source.response.aread()
                    outcome(_STREAM, Answer(source.response.status_code, source.response.headers, body))
                async for frame in source:
                    change = watch.take(frame.event, frame.id, frame.data)
                    if change is not None:
                        yield change
        except httpx2.HTTPError as error:
            raise silence(
                self.url, error, is_reached=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            ) from error

    async def _walk(self, first: Call[Page[T]]) -> list[T]:
        page = await self.send(first)
        items = page.items
        while page.following is not None:
            page = await self.send(Call(method="GET", path=page.following, read=first.read))
            items += page.items
        return items

    async def _once(self, call: Call[Any]) -> Answer:
        limits = httpx2.Timeout(self.timeout_s, read=patience_s(call, self.timeout_s))
        try:
            answer = await self.http.request(
                call.method,
                call.path,
                params=call.query or None,
                content=call.body,
                headers=call.headers,
                timeout=limits,
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise silence(
                self.url, error, is_reached=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            ) from error
        return Answer(answer.status_code, answer.headers, answer.content)


_STREAM: Call[None] = Call(method="GET", path=Watch.path, read=lambda _: None)
