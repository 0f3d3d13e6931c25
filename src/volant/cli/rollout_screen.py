"""A rollout to look at while it is waited for: how far it is, and what each replica does.

    act (a write, a wait) ─────────────────────────────▶ its outcome
    news of the deployment and its VMs ──▶ both are read again ──▶ Standing ──▶ a live list on a terminal,
                                                                               a line a change elsewhere

All of it goes to standard error, because standard output is for results. What is shown decides nothing: it is read at
most eight times a second, and a look that fails is not missed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar

import click

from volant.cli.terminal import COLOURS, is_coloured, is_drawn_on, plain
from volant.client import ApiError, AsyncClient
from volant.clock import SystemClock
from volant.errors import VolantError
from volant.model.views import DeploymentView, VMView

T = TypeVar("T")

FIRST_LOOK_S = 0.5
"""How long the first look may hold up what is to be done."""
BETWEEN_S = 0.125

Act = Callable[[AsyncClient], Awaitable[T]]


class Replica(NamedTuple):
    """One VM: of the template that its deployment has, or of another; and what it does, in a word or two."""

    name: str
    age: str
    word: str

    def __str__(self) -> str:
        return f"{self.name}: {self.age}, {self.word}"


class Standing(NamedTuple):
    """How far a rollout is."""

    head: str
    replicas: tuple[Replica, ...]


def standing(deployment: DeploymentView, vms: Sequence[VMView]) -> Standing:
    """What there is to see of a deployment and its VMs. Pure."""
    live = [vm for vm in vms if vm.deleting_since is None]
    old = sum(_age(deployment, vm) == "old" for vm in live)
    ready = sum(_word(vm) == "ready" for vm in live)
    words = [f"{len(live) - old} of {deployment.replicas} updated", f"{ready} ready"]
    words += [f"{old} old to go"] if old else []
    is_current = deployment.status.observed_generation >= deployment.generation
    words += [deployment.rollout] if is_current and deployment.rollout in ("paused", "stalled") else []
    replicas = [Replica(vm.name, _age(deployment, vm), _word(vm)) for vm in vms]
    replicas.sort(key=lambda one: (len(one.name), one.name))
    return Standing(f"revision {deployment.template_revision}, {', '.join(words)}", tuple(replicas))


def _age(deployment: DeploymentView, vm: VMView) -> str:
    """What is on its way out is of the past, also where its template is wanted again meanwhile."""
    return "new" if vm.deleting_since is None and vm.template in (None, deployment.template) else "old"


def _word(vm: VMView) -> str:
    ready = next((one for one in vm.conditions if one.type == "ready"), None)
    if vm.deleting_since is not None:
        return "stopping"
    if vm.status == "running":
        return "ready" if ready is not None and ready.status == "true" else "running, not ready yet"
    why = ready.message or ready.reason if ready is not None and vm.status in ("error", "restarting") else ""
    return f"{vm.status}: {why}" if why else vm.status


def run_shown(url: str, name: str, act: Act[T]) -> T:
    """The outcome of `act`, with the rollout of that deployment shown meanwhile. Raises what `act` raises."""
    return asyncio.run(_run(url, name, act))


async def _run(url: str, name: str, act: Act[T]) -> T:
    failure: VolantError | None = None
    found: list[T] = []
    with _screen(name) as show:
        async with AsyncClient(url) as client, asyncio.TaskGroup() as tasks:
            looked = asyncio.Event()
            telling = tasks.create_task(_tell(client, name, show, looked))
            try:
                # What is there before is not news, and what comes of it is.
                with suppress(TimeoutError):
                    async with asyncio.timeout(FIRST_LOOK_S):  # because wait_for may swallow Ctrl-C
                        await looked.wait()
                found.append(await act(client))
            except VolantError as error:
                failure = error
            finally:
                telling.cancel()
            # A rollout may be faster than the looks at it: where it has got to is told in any case.
            with suppress(VolantError):
                show(await _look(client, name))
    if failure is not None:
        raise failure
    return found[0]


async def _tell(client: AsyncClient, name: str, show: Callable[[Standing], None], looked: asyncio.Event) -> None:
    changed, clock = asyncio.Event(), SystemClock()
    try:
        show(await _look(client, name))
        looked.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_listen(client, name, changed))
            while await changed.wait():
                changed.clear()
                with suppress(VolantError):
                    show(await _look(client, name))
                await clock.sleep(BETWEEN_S)
    except* VolantError:
        pass  # because whoever acts is told the same
    finally:
        looked.set()


async def _look(client: AsyncClient, name: str) -> Standing:
    # The VMs first: one that was made between the two is not seen yet, and not taken for one of an older template.
    vms = await client.vms.list(deployment=name)
    return standing(await client.deployments.get(name), vms)


async def _listen(client: AsyncClient, name: str, changed: asyncio.Event) -> None:
    with suppress(ApiError):
        async for _ in client.watch(deployment=name):
            changed.set()


@contextmanager
def _screen(name: str) -> Iterator[Callable[[Standing], None]]:
    if not is_drawn_on(sys.stderr):
        yield Lines(name)
        return
    from volant.cli.live import live

    clock, coloured = SystemClock(), is_coloured(sys.stderr)
    begun_s = clock.monotonic()
    seen = [Standing("", ())]

    def draw(most: int) -> Sequence[str]:
        head = f"{plain(name)}: {seen[0].head}, {clock.monotonic() - begun_s:.0f} s"
        return [head, *drawn(seen[0].replicas, most - 2, coloured=coloured)]

    def show(found: Standing) -> None:
        seen[0] = found
        refresh()

    with live(draw) as refresh:
        yield show


def drawn(replicas: Sequence[Replica], most: int, *, coloured: bool) -> Iterator[str]:
    """A line each, of at most so many: those that are ready are left out first."""
    chosen = sorted(replicas, key=lambda one: one.word == "ready")[:most] if len(replicas) > most else replicas
    width = max((len(plain(one.name)) for one in chosen), default=0)
    for one in chosen:
        fg = COLOURS.get(one.word.partition(" ")[0].rstrip(":,")) if coloured else None
        word = click.style(plain(one.word), fg=fg) if fg else plain(one.word)
        yield f"  {plain(one.name).ljust(width)}  {one.age}  {word}"
    if len(chosen) < len(replicas):
        yield f"  and {len(replicas) - len(chosen)} more"


class Lines:
    """A line for each thing that is not as it was; of the first look the head only."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: Standing | None = None

    def __call__(self, found: Standing) -> None:
        """Say what is new."""
        last, self._last = self._last or Standing("", found.replicas), found
        for one in found.replicas:
            if one not in last.replicas:
                click.echo(plain(one), err=True)
        for name in sorted({one.name for one in last.replicas} - {one.name for one in found.replicas}):
            click.echo(f"{plain(name)}: gone", err=True)
        if last.head != found.head:
            click.echo(f"{plain(self._name)}: {found.head}", err=True)
