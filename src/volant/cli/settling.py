"""Waiting until every object of a set is where it was to go, with a line for each that gets there.

The daemon holds each wait open, one object after the other: all of them are on their way at the same time, and together
they have the time that is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from volant.cli.ending import Ended, status_of
from volant.cli.planned import named
from volant.cli.terminal import plain
from volant.clock import SystemClock

if TYPE_CHECKING:
    from volant.client import Client
    from volant.manifests import Said
    from volant.model.apply.outcome import ApplyView

GOALS: Mapping[str, str] = {"VM": "ready", "Deployment": "available", "Plugin": "ready"}


def settle(url: str, view: ApplyView, said: Sequence[Said], timeout_s: float) -> None:
    """Return when all is so. Raises Ended with every object that is not, and the worst of their statuses."""
    stopped = {_name(one.value) for one in said if one.value["kind"] == "VM" and _power(one.value) == "stopped"}
    goals = [(one.kind, one.name, _goal(one.kind, one.action, is_stopped=one.name in stopped)) for one in view.objects]
    wait_for_all(url, goals, timeout_s)


def wait_for_all(url: str, goals: Sequence[tuple[str, str, str]], timeout_s: float) -> None:
    """The same for (kind, name, state)."""
    from volant.client import Client

    clock = SystemClock()
    end = clock.monotonic() + timeout_s
    failed: list[tuple[int, str]] = []
    with Client(url) as client:
        for kind, name, goal in goals:
            trouble = _trouble(client, kind, name, goal, max(end - clock.monotonic(), 0.0))
            if trouble is None:
                click.echo(f"{named(kind, name)} {goal}", err=True)
            else:
                failed.append(trouble)
    if failed:
        raise Ended("\n".join(text for _, text in failed), min(status for status, _ in failed))


def _trouble(client: Client, kind: str, name: str, goal: str, timeout_s: float) -> tuple[int, str] | None:
    from volant.client import ApiError

    by_kind: Mapping[str, Any] = {"VM": client.vms, "Deployment": client.deployments, "Plugin": client.plugins}
    try:
        by_kind[kind].wait(name, goal, timeout_s=timeout_s)
    except ApiError as error:
        if goal == "deleted" and error.status == 404:
            return None
        said = plain(error.message)
        return status_of(error), f"{named(kind, name)} is not {goal}: {said}. `volant why {plain(name)}` says more."
    return None


def _goal(kind: str, action: str, *, is_stopped: bool) -> str:
    if action == "delete":
        return "deleted"
    return "stopped" if kind == "VM" and is_stopped else GOALS[kind]


def _name(value: Mapping[str, Any]) -> str:
    return str(value["metadata"]["name"])


def _power(value: Mapping[str, Any]) -> Any:
    return value["spec"].get("power")
