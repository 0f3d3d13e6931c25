"""The client for programs with an event loop.

    async with AsyncClient("http://127.0.0.1:8080") as volant:
        await volant.vms.create(NewVM(name="web", plugin="hello"), wait="ready")
        async for change in volant.watch(kinds=("VM",)): ...

One client may be used by many tasks at a time. It opens connections to the address it was given and to no other: no
proxy, no variable of the environment and no redirect changes that.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack

from volant.client import operations as op
from volant.client import rolling
from volant.client.address import REPEATS
from volant.client.aio_sender import Sender
from volant.client.call import Call, Page
from volant.client.failures import ApiError, NoAnswer
from volant.client.following import Change, Filters, Pauses, Watch, moves_endpoints
from volant.clock import Clock, SystemClock, UidFactory, random_uid
from volant.model.apply.outcome import ApplyView, SetView
from volant.model.event import PastEvent
from volant.model.views import DeploymentView, EndpointsView, PluginView, SyncView, SystemInfo, VMView, WhyView

if TYPE_CHECKING:
    from volant.client.applying import Terms
    from volant.client.consoles import Console
    from volant.client.tailing import OnGap
    from volant.model.timeline import PlanView

T = TypeVar("T")
V = TypeVar("V")
P = ParamSpec("P")


def _chance() -> random.Random:
    return random.Random()  # noqa: S311  pauses need no secrets


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
    put = _sends(rolling.put_vm)
    delete = _sends(op.delete_vm)
    start = _sends(op.start_vm)
    stop = _sends(op.stop_vm)
    restart = _sends(op.restart_vm)
    get_config = _sends(op.get_config)
    patch_config = _sends(op.patch_config)
    config_history = _sends(op.config_history)
    logs = _sends(op.logs)

    async def follow_logs(
        self, name: str, *, tail: int | None = None, on_gap: OnGap | None = None
    ) -> AsyncGenerator[str, None]:
        """What its guest has said, or the last so many lines, and what it says, until the VM is deleted.

        Over broken connections and restarts of the daemon, from then on: what is said meanwhile is not in it, and
        `on_gap` is called with a sentence. ApiError, NoAnswer when it cannot begin.
        """
        from volant.client.consoles import followed
        from volant.client.tailing import Tailing

        sender = self._sender
        tailing = Tailing(sender.rng, name, tail, on_gap)
        while True:
            try:
                call = tailing.follow(await sender.send(tailing.whose), sender.clock.monotonic())
                if call is None:
                    return
                async with aclosing(followed(sender.http, sender.url, call, sender.timeout_s)) as text:
                    async for piece in text:
                        yield piece
            except (NoAnswer, ApiError) as error:
                if tailing.failed(error):
                    return
            await sender.clock.sleep(tailing.pause_s(sender.clock.monotonic()))

    def console(self, name: str, *, force: bool = False) -> AbstractAsyncContextManager[Console]:
        """Be on its guest's serial console: `read` and `write`. ApiError `console_in_use` unless `force` takes it."""
        from volant.client.consoles import attached

        return attached(self._sender.url, name, force=force, timeout_s=self._sender.timeout_s)


class Deployments(Resource[DeploymentView]):
    """`client.deployments`."""

    noun = "deployments"
    _wait = staticmethod(op.wait_for_deployment)
    list = _lists(op.list_deployments)
    get = _sends(op.get_deployment)
    create = _sends(op.create_deployment)
    delete = _sends(op.delete_deployment)
    scale = _sends(op.scale_deployment)
    patch = _sends(rolling.patch_deployment)
    put = _sends(rolling.put_deployment)
    revisions = _sends(rolling.list_revisions)
    rollback = _sends(rolling.roll_back)
    pause = _sends(rolling.pause)
    resume = _sends(rolling.resume)
    restart = _sends(rolling.restart)
    endpoints = _sends(op.endpoints)


class Plugins(Resource[PluginView]):
    """`client.plugins`."""

    noun = "plugins"
    _wait = staticmethod(op.wait_for_plugin)
    list = _lists(op.list_plugins)
    get = _sends(op.get_plugin)
    create = _sends(op.create_plugin)
    delete = _sends(op.delete_plugin)
    enable = _sends(op.enable_plugin)


class Sets:
    """`client.sets`: what was applied together."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def get(self, name: str) -> SetView:
        """What is in it, and what was pruned of it."""
        from volant.client.applying import get_set

        return await self._sender.send(get_set(name))

    async def restore(self, name: str, *, dry_run: bool = False) -> ApplyView:
        """Make again what was pruned of it in the last 24 hours."""
        from volant.client.applying import restore_set

        return await self._sender.send(restore_set(name, dry_run=dry_run))

    async def roll_back(self, name: str, revision: int | None = None, *, dry_run: bool = False) -> ApplyView:
        """Apply it once more as that revision was said, or as the last healthy one before the current."""
        from volant.client.applying import roll_back_set

        return await self._sender.send(roll_back_set(name, revision, dry_run=dry_run))

    async def list(self) -> list[SetView]:
        """All of them."""
        from volant.client.applying import list_sets

        return await self._sender.send(list_sets())


class Syncs:
    """`client.syncs`: sets that the daemon keeps by itself."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def get(self, name: str) -> SyncView:
        """What it follows, which commit is applied, what is in the way of another."""
        from volant.client.applying import get_sync

        return await self._sender.send(get_sync(name))

    async def now(self, name: str, *, wait: str | None = None, timeout_s: float | None = None) -> SyncView:
        """Have it tried now; with `wait="tried"` return when it was. NotReached when that is not over in time."""
        from volant.client.applying import sync_now

        return await self._sender.send(sync_now(name, wait=wait, timeout_s=timeout_s))

    async def list(self) -> list[SyncView]:
        """All of them."""
        from volant.client.applying import list_syncs

        return await self._sender.send(list_syncs())


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
        app: Any = None,
    ) -> None:
        """With `app`, an ASGI application, requests go to it in this process instead of to `url`. No streams then."""
        self._sender = Sender(url, timeout_s, repeats, clock or SystemClock(), rng or _chance(), uids, app)
        self.vms = VMs(self._sender)
        self.deployments = Deployments(self._sender)
        self.plugins = Plugins(self._sender)
        self.sets = Sets(self._sender)
        self.syncs = Syncs(self._sender)

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

    async def apply(self, manifests: Iterable[Mapping[str, Any]], **terms: Unpack[Terms]) -> ApplyView:
        """Make a set of objects as these manifests say it, all or nothing; with `dry_run` only say what would be done.

        What they do not say is left to whoever has said it. ApiError with a line for each that stands in the way.
        """
        from volant.client.applying import of_manifests

        return await self._sender.send(of_manifests(manifests, **terms))

    async def plan(self, manifests: Iterable[Mapping[str, Any]], **terms: Unpack[Terms]) -> PlanView:
        """What such an apply would do, and what would come of it, step by step. Nothing is changed.

        ApiError as `apply` raises it; its code begins with `forecast_` when there is no timeline to be had.
        """
        from volant.client.applying import foretell

        return await self._sender.send(foretell(manifests, **terms))

    async def export(self, **chosen: str) -> list[dict[str, Any]]:
        """What there is as manifests that apply back to no change: all, or by `kind`, `name` or `of_set`."""
        from volant.client.applying import list_manifests

        return await self._sender.send(list_manifests(**chosen))

    async def wait(self, kind: str, name: str, state: str | None = None, *, timeout_s: float = 60.0) -> Any:
        """Wait until an object is ready, a deployment available, or as `state` says. As `wait` of its kind."""
        goal = state or ("available" if kind == "Deployment" else "ready")
        by_kind: dict[str, Resource[Any]] = {"VM": self.vms, "Deployment": self.deployments, "Plugin": self.plugins}
        return await by_kind[kind].wait(name, goal, timeout_s=timeout_s)

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

    async def follow_endpoints(self, name: str) -> AsyncGenerator[EndpointsView, None]:
        """Where requests for a deployment may be sent now, and again each time that it is elsewhere, for ever.

        What a load balancer follows. Over broken connections and restarts of the daemon; what was told last holds
        meanwhile. ApiError when there is no such deployment, or no longer is.
        """
        told = await self.deployments.endpoints(name)
        yield told
        async with aclosing(self.watch(deployment=name)) as changes:
            async for change in changes:
                if moves_endpoints(change):
                    found = await self._patiently(op.endpoints(name))
                    if found.endpoints != told.endpoints:
                        told = found
                        yield told

    async def _patiently(self, call: Call[T]) -> T:
        """The outcome of a call that only reads, however long nobody answers it."""
        pauses = Pauses(self._sender.rng)
        while True:
            try:
                return await self._sender.send(call)
            except (NoAnswer, ApiError) as error:
                if isinstance(error, ApiError) and error.status < 500:
                    raise
            await self._sender.clock.sleep(pauses.next_s())
