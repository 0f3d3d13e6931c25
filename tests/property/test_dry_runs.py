"""A4: a dry run changes nothing, and says exactly what the write then gives, in every order of writes.

Random walks over every write route, with the test as the controllers. Before each write it is tried: what the database
holds is the same afterwards, and the answer is the one that the write then gets, refusals included.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.server import Served, serving

from volant.errors import NotFound
from volant.model import history
from volant.model.meta import Key
from volant.store import StoreSettings


class Write(NamedTuple):
    """One write, and what shows the same thing before it (None: nothing does)."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    shown_at: str | None = None


MANIFEST = {"name": "p", "version": "1", "rootfs": {"url": "http://a/b", "format": "raw"}, "workload": {"type": "none"}}

WRITES = [
    Write("POST", "/vms", {"name": "a", "plugin": "hello"}),
    Write("POST", "/vms", {"name": "b", "plugin": "p", "config": {"cloud_init": {"user_data": "secret"}}}),
    Write("POST", "/vms/a/start", shown_at="/vms/a"),
    Write("POST", "/vms/a/stop", shown_at="/vms/a"),
    Write("POST", "/vms/a/restart", shown_at="/vms/a"),
    Write("DELETE", "/vms/a"),
    Write("PATCH", "/vms/a/config", {"resources": {"vcpu": 2}}, shown_at="/vms/a/config"),
    Write("PATCH", "/vms/a/config", {"resources": {"vcpu": 1}, "env": {"A": "hidden"}}, shown_at="/vms/a/config"),
    Write("PATCH", "/vms/a/config", {"cloud_init": {"user_data": "hidden"}}, shown_at="/vms/a/config"),
    Write("POST", "/deployments", {"name": "web", "plugin": "hello", "replicas": 2}),
    Write("PATCH", "/deployments/web", {"replicas": 3}, shown_at="/deployments/web"),
    Write("PATCH", "/deployments/web", {"replicas": 2}, shown_at="/deployments/web"),
    Write("DELETE", "/deployments/web"),
    Write("POST", "/plugins", MANIFEST),
    Write("POST", "/plugins/p/enabled", {"enabled": False}, shown_at="/plugins/p"),
    Write("POST", "/plugins/p/enabled", {"enabled": True}, shown_at="/plugins/p"),
    Write("DELETE", "/plugins/p"),
    Write("DELETE", "/plugins/hello"),
]
KEYS = (Key("VM", "a"), Key("VM", "b"), Key("Deployment", "web"), Key("Plugin", "p"))
TURNS = ["runs", "stops", "clears"]
"""What a controller does in between."""

UNFORESEEN = {"uid", "created_at", "installed_at", "deleting_since"}
"""An identity is drawn anew and the time goes on."""

SETTINGS = StoreSettings(synchronous="off")


@settings(max_examples=12, deadline=None)
@given(walk=st.lists(st.sampled_from([*WRITES, *TURNS]), min_size=4, max_size=24))
def test_a_trial_changes_nothing_and_foretells_the_write(walk: list[Write | str]) -> None:
    """A4"""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_walk(Path(directory), walk))


def test_every_write_route_is_walked() -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_walk(Path(directory), ["runs", *WRITES[:2], "runs", *WRITES[2:], *WRITES]))


async def _walk(directory: Path, walk: list[Write | str]) -> None:
    async with serving(directory, settings=SETTINGS) as api:
        await api.installed("hello")
        for turn in walk:
            if isinstance(turn, Write):
                await _try_then_do(api, directory / "volant.db", turn)
            else:
                await _play(api, turn)


async def _try_then_do(api: Served, file: Path, write: Write) -> None:
    before = await api.get(write.shown_at) if write.shown_at else None
    held, revision = _dump(file), api.store.revision
    trial = await api.http.request(write.method, write.path + "?dry_run=true", json=write.body)
    assert (_dump(file), api.store.revision) == (held, revision)
    done = await api.http.request(write.method, write.path + "?wait=none", json=write.body)
    if not done.is_success:
        told = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in (trial, done)]
        assert (trial.status_code, told[0]) == (done.status_code, told[1])
        return
    said = trial.json()
    assert said.pop("dry_run") is True
    changes = said.pop("changes")
    assert trial.status_code == (200 if write.method == "DELETE" else done.status_code)
    assert _lasting(said) == _lasting(done.json())
    assert "hidden" not in str(changes)
    _check_changes(write, before.json() if before else None, changes, done.json())


def _check_changes(write: Write, before: Any, changes: Any, after: Any) -> None:
    if write.method == "DELETE":
        assert changes == {"deleted": True}
    elif before is None:
        assert changes == {"created": True}
    else:
        expected = history.redacted(history.changes(before, after))
        expected.pop("revision", None)
        assert changes == expected


def _lasting(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in UNFORESEEN}


def _dump(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


async def _play(api: Served, turn: str) -> None:
    try:
        if turn == "runs":
            await api.runs("a")
        elif turn == "stops":
            await api.stops("a")
        else:
            for key in KEYS:
                obj = api.store.find(key)
                if obj is not None and obj.meta.is_deleting:
                    await api.clears(obj)
    except NotFound:
        return
