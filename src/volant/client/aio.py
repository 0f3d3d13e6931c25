"""The client for programs with an event loop.

    async with AsyncClient("http://127.0.0.1:8080") as volant:
        await volant.vms.create(NewVM(name="web", plugin="hello"), wait="ready")
        async for change in volant.watch(kinds=("VM",)): ...

One client may be used by many tasks at a time. It opens connections to the address it was given and to no other: no
proxy, no variable of the environment and no redirect changes that.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack

import httpx2

from volant.client import operations as op
from volant.client.address import REPEATS, checked, needs_tls, patience, silence
from volant.client.call import Answer, Call, Page, outcome
from volant.client.failures import ApiError, NoAnswer
from volant.client.following import SILENCE_S, Change, Filters, Pauses, Wait, Watch
from volant.clock import Clock, SystemClock, UidFactory, random_uid
from volant.model.event import PastEvent
from volant.model.views import DeploymentView, PluginView, SystemInfo, VMView, WhyView

T = TypeVar("T")
V = TypeVar("V")
P = ParamSpec("P")


def _chance() -> random.Random:
    return random.Random()  # noqa: S311  pauses need no secrets


class Sender:
    """Sends calls."""

    def __init__(
        self, url: str, timeout_s: float, repeats: int, clock: Clock, rng: random.Random, uids: UidFactory
    ) -> None:
        self.url = checked(url)
        self.clock, self.rng = clock, rng
        self._timeout_s, self._repeats, self._uids = timeout_s, repeats, uids
        self.http = httpx2.AsyncClient(
            base_url=self.url, trust_env=False, timeout=timeout_s, verify=needs_tls(self.url)
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
        limits = httpx2.Timeout(self._timeout_s, read=SILENCE_S)
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
            raise silence(self.url, error) from error

    async def _walk(self, first: Call[Page[T]]) -> list[T]:
        page = await self.send(first)
        items = page.items
        while page.following is not None:
            page = await self.send(Call(method="GET", path=page.following, read=first.read))
            items += page.items
        return items

    async def _once(self, call: Call[Any]) -> Answer:
        limits = patience(call, self._timeout_s)
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
            raise silence(self.url, error) from error
        return Answer(answer.status_code, answer.headers, answer.content)


_STREAM: Call[None] = Call(method="GET", path=Watch.path, read=lambda _: None)


class Resource(Generic[V]):
    """The operations of one kind."""

    noun: str
    _wait: Callable[..., Call[V | None]]

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def wait(self, name: str, state: str, *, generation: int | None = None, timeout_s: float = 60.0) -> V | None:
        """Wait until it is so: the object, None for `deleted`. ApiError `wait_timeout` when it is not so in time.

        Any other ApiError says why it cannot be so any more. Survives a restart of the daemon.
        """
        make = type(self)._wait
        return await self._sender.reach(
            lambda pinned, slice_s: make(name, state, generation=pinned, timeout_s=slice_s), generation, timeout_s
        )

    async def why(self, name: str) -> WhyView:
        """Why it is not ready."""
        return await self._sender.send(op.why(self.noun, name))

    async def events(self, name: str, *, limit: int | None = None) -> list[PastEvent]:
        """Its last events, the oldest first."""
        return await self._sender.send(op.last_events(self.noun, name, limit=limit))


def _sends(make: Callable[P, Call[T]]) -> Callable[Concatenate[Resource[Any], P], Coroutine[Any, Any, T]]:
    async def method(self: Resource[Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._sender.send(make(*args, **kwargs))

    method.__doc__ = make.__doc__
    return method


def _lists(make: Callable[P, Call[Page[T]]]) -> Callable[Concatenate[Resource[Any], P], Coroutine[Any, Any, list[T]]]:
    async def method(self: Resource[Any], /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return await self._sender.every(make(*args, **kwargs))

    method.__doc__ = "All of them, whatever the number of pages."
    return method


class VMs(Resource[VMView]):
    """`client.vms`."""

    noun = "vms"
    _wait = staticmethod(op.wait_for_vm)
    list = _lists(op.list_vms)
    get = _sends(op.get_vm)
    create = _sends(op.create_vm)
    delete = _sends(op.delete_vm)
    start = _sends(op.start_vm)
    stop = _sends(op.stop_vm)
    restart = _sends(op.restart_vm)
    get_config = _sends(op.get_config)
    patch_config = _sends(op.patch_config)
    config_history = _sends(op.config_history)


class Deployments(Resource[DeploymentView]):
    """`client.deployments`."""

    noun = "deployments"
    _wait = staticmethod(op.wait_for_deployment)
    list = _lists(op.list_deployments)
    get = _sends(op.get_deployment)
    create = _sends(op.create_deployment)
    delete = _sends(op.delete_deployment)
    scale = _sends(op.scale_deployment)


class Plugins(Resource[PluginView]):
    """`client.plugins`."""

    noun = "plugins"
    _wait = staticmethod(op.wait_for_plugin)
    list = _lists(op.list_plugins)
    get = _sends(op.get_plugin)
    create = _sends(op.create_plugin)
    delete = _sends(op.delete_plugin)
    enable = _sends(op.enable_plugin)


class AsyncClient:
    """A daemon, as seen from a program.

    `timeout_s` bounds connecting, sending and each answer; an answer that waits for something has that time besides.
    A GET and a create are sent again up to `repeats` times while nobody answers or the store is unavailable.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        timeout_s: float = 30.0,
        repeats: int = REPEATS,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        uids: UidFactory = random_uid,
    ) -> None:
        self._sender = Sender(url, timeout_s, repeats, clock or SystemClock(), rng or _chance(), uids)
        self.vms = VMs(self._sender)
        self.deployments = Deployments(self._sender)
        self.plugins = Plugins(self._sender)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._sender.http.aclose()

    @property
    def url(self) -> str:
        """Where the daemon is."""
        return self._sender.url

    async def info(self) -> SystemInfo:
        """The daemon and its host."""
        return await self._sender.send(op.info())

    async def send(self, call: Call[T]) -> T:
        """The outcome of any call, made by `operations` or elsewhere."""
        return await self._sender.send(call)

    async def watch(self, **filters: Unpack[Filters]) -> AsyncGenerator[Change, None]:
        """What there is, then what happens, for ever: over broken connections and restarts of the daemon.

        Every event comes once, in the order of commit. ApiError when the filters are wrong. See `Change`.
        """
        watch = Watch(self._sender.rng, **filters)
        while True:
            try:
                async with aclosing(self._sender.stream(watch)) as stream:
                    async for change in stream:
                        yield change
            except (NoAnswer, ApiError) as error:
                watch.failed(error)
            await self._sender.clock.sleep(watch.pause_s())
