"""Waiting until every object of a set is where it was to go, with a line for each that gets there.

The daemon holds each wait open, a few at a time: all of the objects are on their way at the same time, and together
they have the time that is given. What they and their replicas do meanwhile is shown by `waiting`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from volant.cli.ending import Ended, standing, status_of
from volant.cli.planned import named
from volant.cli.terminal import is_drawn_on, plain
from volant.client import ApiError, NoAnswer
from volant.clock import SystemClock

if TYPE_CHECKING:
    from volant.cli.board import Shown
    from volant.cli.waiting import Act
    from volant.client import AsyncClient
    from volant.manifests import Said
    from volant.model.apply.outcome import ApplyView

T = TypeVar("T")

GOALS: Mapping[str, str] = {"VM": "ready", "Deployment": "available", "Plugin": "ready"}
AT_ONCE = 16
"""Waits that are held open together."""

Goal = tuple[str, str, str]
"""Kind, name, state."""


def settle(url: str, view: ApplyView, said: Sequence[Said], timeout_s: float) -> None:
    """Return when all is so. Raises Ended with every object that is not, and the worst of their statuses."""
    stopped = {_name(one.value) for one in said if one.value["kind"] == "VM" and _power(one.value) == "stopped"}
    goals = [
        (one.kind, one.name, _goal(one.kind, one.action, is_stopped=one.name in stopped))
        for one in view.objects
        if one.waits is None  # because it is on its way to nowhere yet
    ]
    changed = [(one.kind, one.name) for one in view.objects if one.action != "unchanged"]
    wait_for_all(url, goals, timeout_s, changed=changed)


def wait_for_all(
    url: str,
    goals: Sequence[Goal],
    timeout_s: float,
    *,
    changed: Sequence[tuple[str, str]] = (),
    is_told: bool = True,
) -> None:
    """The same for (kind, name, state). Of what is `changed`, the first look is told as well.

    Without `is_told` it is silent about each that gets there, because whoever asks has said so.
    """
    if not goals:
        return
    there = Heard() if is_told else Unheard()
    keys = [(kind, name) for kind, name, _ in goals]
    try:
        failed = _shown(url, keys, changed, lambda client: _all(client, goals, timeout_s, there))
    finally:
        there.tell()
    if failed:
        raise Ended("\n".join(text for _, text in failed), min(status for status, _ in failed))


def shown_while(url: str, view: ApplyView, act: Act[T]) -> T:
    """The outcome of `act`, with the objects of an apply and their replicas shown meanwhile."""
    keys = [(one.kind, one.name) for one in view.objects]
    return _shown(url, keys, [(one.kind, one.name) for one in view.objects if one.action != "unchanged"], act)


def _shown(url: str, keys: Sequence[tuple[str, str]], changed: Sequence[tuple[str, str]], act: Act[T]) -> T:
    from volant.cli.waiting import run_with_progress

    kinds = {kind for kind, _ in keys}
    kinds |= {"VM"} if "Deployment" in kinds else set()
    return run_with_progress(url, act, shown=_of(keys), news=_of(changed), kinds=tuple(sorted(kinds)))


def _of(keys: Sequence[tuple[str, str]]) -> Shown:
    """These objects, and the replicas of those among them that are deployments."""
    known = {(kind.lower(), name) for kind, name in keys}
    return lambda kind, name, owner: (kind, name) in known or (kind == "vm" and ("deployment", owner) in known)


class Heard:
    """Says what is there as soon as it is; at a terminal when the live list above it is gone."""

    def __init__(self) -> None:
        self._is_held = is_drawn_on(sys.stderr)
        self._lines: list[str] = []

    def __call__(self, line: str) -> None:
        """Say it."""
        if self._is_held:
            self._lines.append(line)
        else:
            click.echo(line, err=True)

    def tell(self) -> None:
        """Say what was held back."""
        for line in self._lines:
            click.echo(line, err=True)


class Unheard(Heard):
    """Says nothing."""

    def __call__(self, line: str) -> None:
        """Nothing."""


async def _all(
    client: AsyncClient, goals: Sequence[Goal], timeout_s: float, there: Callable[[str], None]
) -> list[tuple[int, str]]:
    """What became of those that are not as they were to be, in the order of the goals. Raises NoAnswer."""
    clock, gate = SystemClock(), asyncio.Semaphore(AT_ONCE)
    end = clock.monotonic() + timeout_s

    async def one(kind: str, name: str, goal: str) -> tuple[int, str] | NoAnswer | None:
        async with gate:
            trouble = await _trouble(client, kind, name, goal, max(end - clock.monotonic(), 0.0))
        if trouble is None:
            there(f"{named(kind, name)} {goal}")
        return trouble

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(*goal)) for goal in goals]
    found = []
    for trouble in (task.result() for task in running):
        if isinstance(trouble, NoAnswer):  # It is the same for all of them.
            raise trouble
        found += [] if trouble is None else [trouble]
    return found


async def _trouble(
    client: AsyncClient, kind: str, name: str, goal: str, timeout_s: float
) -> tuple[int, str] | NoAnswer | None:
    by_kind: Mapping[str, Any] = {"VM": client.vms, "Deployment": client.deployments, "Plugin": client.plugins}
    try:
        await by_kind[kind].wait(name, goal, timeout_s=timeout_s)
    except ApiError as error:
        if goal == "deleted" and error.code.endswith("_not_found"):
            return None
        said = plain(error.message).rstrip(".")
        stands = standing(error)
        why = f"{stands}. `volant why {plain(name)}` says more." if stands else f"`volant why {plain(name)}` says more."
        return status_of(error), f"{named(kind, name)} is not {goal}: {said}. {why}"
    except NoAnswer as error:
        return error
    return None


def _goal(kind: str, action: str, *, is_stopped: bool) -> str:
    if action == "delete":
        return "deleted"
    if kind == "Deployment" and action == "update":
        return "complete"  # because old replicas are available all the while
    return "stopped" if kind == "VM" and is_stopped else GOALS[kind]


def _name(value: Mapping[str, Any]) -> str:
    return str(value["metadata"]["name"])


def _power(value: Mapping[str, Any]) -> Any:
    return value["spec"].get("power")
