"""What sends the calls of `Client`: one after the other, with another try where that can do no harm.

    Call ──▶ Sender ──http://──▶ plain
                    ──https://, streams──▶ httpx2

httpx2 takes longer to load than most questions take to be answered, so it is loaded where `plain` does not do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from volant.client.address import REPEATS, checked, needs_tls, patience_s, silence
from volant.client.call import Answer, Call, Page, failure, outcome
from volant.client.failures import ApiError, NoAnswer
from volant.client.following import SILENCE_S, Change, Pauses, Wait, Watch
from volant.client.plain import Garbled, Plain, Unreached
from volant.clock import Clock, UidFactory

if TYPE_CHECKING:
    import random

    import httpx2

T = TypeVar("T")

Pause = Callable[[float], None]
"""Blocks for so many seconds."""


def block(seconds: float) -> None:
    """Wait for so many seconds."""
    threading.Event().wait(seconds)


def chance() -> random.Random:
    """What pauses are drawn from."""
    import random

    return random.Random()  # noqa: S311  pauses need no secrets


class Sender:
    """Sends calls."""

    def __init__(
        self, url: str, timeout_s: float, repeats: int, clock: Clock, pause: Pause, rng: random.Random, uids: UidFactory
    ) -> None:
        self.url = checked(url)
        self.clock, self.rng = clock, rng
        self.pause = pause
        self._timeout_s, self._repeats, self._uids = timeout_s, repeats, uids
        self._plain = None if needs_tls(self.url) else Plain(self.url)
        self._opened: list[httpx2.Client] = []

    @cached_property
    def http(self) -> httpx2.Client:
        """What asks for all that `plain` does not."""
        import httpx2

        made = httpx2.Client(base_url=self.url, trust_env=False, timeout=self._timeout_s, verify=needs_tls(self.url))
        self._opened.append(made)
        return made

    def close(self) -> None:
        """Close the connections."""
        for http in self._opened:
            http.close()

    def send(self, call: Call[T]) -> T:
        """The outcome of a call. Raises ApiError, NoAnswer, NotReached."""
        call = call.with_key(self._uids)
        pauses = Pauses(self.rng)
        for _ in range(self._repeats):
            try:
                return outcome(call, self._once(call))
            except (NoAnswer, ApiError) as error:
                if not call.may_repeat(error):
                    raise
            self.pause(pauses.next_s())
        return outcome(call, self._once(call))

    def every(self, first: Call[Page[T]]) -> list[T]:
        """All of a list. It begins again when the daemon no longer knows how it was to go on."""
        for _ in range(REPEATS):
            try:
                return self._walk(first)
            except ApiError as error:
                if error.code != "page_expired":
                    raise
        return self._walk(first)

    def reach(self, ask: Callable[[int | None, float], Call[T]], generation: int | None, timeout_s: float) -> T:
        """Wait in slices. `ask` makes the call of one."""
        wait = Wait(self.rng, timeout_s, generation, self.clock.monotonic())
        while True:
            call = ask(wait.generation, wait.slice_s(self.clock.monotonic()))
            try:
                return outcome(call, self._once(call))
            except (NoAnswer, ApiError) as error:
                self.pause(wait.failed(error, self.clock.monotonic()))

    def stream(self, watch: Watch) -> Generator[Change, None, None]:
        """What one connection of a watch tells."""
        import httpx2

        limits = httpx2.Timeout(self._timeout_s, read=SILENCE_S)
        headers = watch.begin()
        try:
            with self.http.sse(watch.path, params=watch.query, headers=headers, timeout=limits) as source:
                if not source.response.is_success:
                    body = source.response.read()
                    outcome(_STREAM, Answer(source.response.status_code, source.response.headers, body))
                for frame in source:
                    change = watch.take(frame.event, frame.id, frame.data)
                    if change is not None:
                        yield change
        except httpx2.HTTPError as error:
            raise silence(
                self.url, error, is_reached=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            ) from error

    def text(self, call: Call[str]) -> Generator[str, None, None]:
        """What comes of a call that goes on."""
        import httpx2

        limits = httpx2.Timeout(self._timeout_s, read=None)  # because a guest may be silent for days
        try:
            with self.http.stream(call.method, call.path, params=call.query, timeout=limits) as answer:
                if not answer.is_success:
                    raise failure(Answer(answer.status_code, answer.headers, answer.read()))
                yield from answer.iter_text()
        except httpx2.HTTPError as error:
            raise silence(
                self.url, error, is_reached=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            ) from error

    def _walk(self, first: Call[Page[T]]) -> list[T]:
        page = self.send(first)
        items = page.items
        while page.following is not None:
            page = self.send(Call(method="GET", path=page.following, read=first.read))
            items += page.items
        return items

    def _once(self, call: Call[Any]) -> Answer:
        if self._plain is None:
            return self._through_httpx2(call)
        try:
            return self._plain.ask(call, self._timeout_s, patience_s(call, self._timeout_s))
        except (Unreached, Garbled, OSError) as error:
            raise silence(self.url, error, is_reached=not isinstance(error, Unreached)) from error

    def _through_httpx2(self, call: Call[Any]) -> Answer:
        import httpx2

        limits = httpx2.Timeout(self._timeout_s, read=patience_s(call, self._timeout_s))
        try:
            answer = self.http.request(
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
