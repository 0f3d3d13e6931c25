"""`POST /apply` over random sets: what a dry run says is what an apply does, and nothing goes that was not meant to.

Random walks over a real store behind the real API: two managers and two sets that share names, single writes in
between, and the test as the controllers. Who said what is kept here a second time, from the requests alone, and nothing
of it is read from the store.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.builders.server import Served, serving

from volant.model.apply.documents import live
from volant.model.apply.leaves import Leaves, leaves
from volant.model.meta import Key, Kind
from volant.model.objects import Object
from volant.store import StoreSettings

MANIFEST = {"version": "1", "rootfs": {"url": "http://a/b", "format": "raw"}}
KEYS = (Key("VM", "a"), Key("Deployment", "web"), Key("VM", "b"), Key("Plugin", "p"), Key("VM", "c"))
USED = {"c": "p"}
"""The plugin of an object, where it is not `hello`, which nobody applies."""
SETTINGS = StoreSettings(synchronous="off")
PATHS: dict[Kind, str] = {"VM": "vms", "Deployment": "deployments", "Plugin": "plugins"}


class Told(NamedTuple):
    """One `POST /apply`."""

    set: str
    manager: str
    objects: tuple[dict[str, Any], ...]
    prune: bool
    force: bool
    is_meant: bool
    """Whether the number of deletions is said."""


class Single(NamedTuple):
    """One single write."""

    method: str
    path: str
    body: dict[str, Any] | None


class Turn(NamedTuple):
    """What the controllers do: `name` runs, or everything that is on its way out goes."""

    name: str | None


def _some(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=values)


words = st.sampled_from(["1", "2"])
texts = _some(**{"A": words, "x.io/y": words})
metadata = _some(labels=texts, annotations=texts)
configs = _some(env=_some(A=words, B=words), resources=_some(vcpu=st.integers(1, 2)), cloud_init=words)
vm_specs = _some(
    config=configs,
    restart_policy=st.sampled_from(["always", "never"]),
    grace_s=st.sampled_from([30, 5]),
    power=st.sampled_from(["running", "stopped"]),
)
deployment_specs = _some(replicas=st.integers(0, 2), config=_some(env=_some(A=words, B=words)))
plugin_specs = _some(enabled=st.sampled_from([True, True, False]))


@st.composite
def documents(draw: st.DrawFn, key: Key) -> dict[str, Any]:
    spec = draw({"VM": vm_specs, "Deployment": deployment_specs, "Plugin": plugin_specs}[key.kind])
    spec = {**MANIFEST, **spec} if key.kind == "Plugin" else {**spec, "plugin": USED.get(key.name, "hello")}
    return {"kind": key.kind, "metadata": {"name": key.name, **draw(metadata)}, "spec": spec}


@st.composite
def tellings(draw: st.DrawFn) -> Told:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=5))
    return Told(
        set=draw(st.sampled_from(["infra", "infra", "other"])),
        manager=draw(st.sampled_from(["apply", "robot"])),
        objects=tuple(draw(documents(key)) for key in keys),
        prune=draw(st.booleans()),
        force=draw(st.sampled_from([False, False, True])),
        is_meant=draw(st.sampled_from([True, True, False])),
    )


@st.composite
def wholes(draw: st.DrawFn) -> Told:
    """All of a set, by its one manager. The plugin is always in it: what uses it could not stay otherwise."""
    keys = draw(st.lists(st.sampled_from([key for key in KEYS if key.kind != "Plugin"]), unique=True, max_size=4))
    plugin = {"kind": "Plugin", "metadata": {"name": "p", **draw(metadata)}, "spec": MANIFEST}
    objects = (plugin, *(draw(documents(key)) for key in keys))
    return Told("infra", "apply", objects, prune=True, force=False, is_meant=True)


FREE = ("/metadata/", "/spec/config/env/")
"""Where there is no default to go back to."""

FIRST = Told(
    set="infra",
    manager="apply",
    objects=(
        {"kind": "Plugin", "metadata": {"name": "p"}, "spec": MANIFEST},
        {"kind": "VM", "metadata": {"name": "a"}, "spec": {"plugin": "hello", "config": {"env": {"A": "1"}}}},
        {"kind": "VM", "metadata": {"name": "c"}, "spec": {"plugin": "p"}},
        {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"plugin": "hello", "replicas": 1}},
    ),
    prune=False,
    force=False,
    is_meant=True,
)
"""Every walk begins with it: from nothing there is nothing to lose."""

singles = st.one_of(
    st.builds(
        Single,
        st.just("PATCH"),
        st.just("/vms/a/config"),
        st.fixed_dictionaries({"env": st.sampled_from([{"A": "1"}, {"A": "2", "x": "1"}, {"A": None}])}),
    ),
    st.sampled_from(
        [
            Single("POST", "/vms", {"name": "a", "plugin": "hello", "config": {"env": {"A": "1"}}}),
            Single("POST", "/vms", {"name": "c", "plugin": "hello", "restart_policy": "never"}),
            Single("POST", "/vms/a/stop", None),
            Single("POST", "/vms/a/start", None),
            Single("PATCH", "/deployments/web", {"replicas": 3}),
            Single("PATCH", "/deployments/web", {"config": {"env": {"A": "2", "B": None}}}),
            Single("PATCH", "/deployments/web", {"labels": {"A": None}, "config": {"env": None}}),
            Single("POST", "/deployments/web/rollback", {}),
            Single("POST", "/plugins/p/enabled", {"enabled": False}),
            Single("DELETE", "/vms/b", None),
            Single("DELETE", "/deployments/web", None),
        ]
    ),
)
turns = st.sampled_from([Turn(None), Turn("a"), Turn("b")])
walks = st.lists(st.one_of(tellings(), tellings(), tellings(), singles, turns), min_size=6, max_size=12)


@dataclass
class Host:
    """The API, and what everybody has said of every object, by uid: `said[uid][manager]` are leaves."""

    api: Served
    file: Path
    said: dict[str, dict[str, Leaves]] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=dict)

    def objects(self) -> dict[str, Object]:
        """Every object there is, by uid."""
        found = (self.api.store.find(key) for kind in PATHS for key in self.api.store.keys(kind))
        return {obj.meta.uid: obj for obj in found if obj is not None}

    def dump(self) -> dict[str, list[Any]]:
        """The whole database: the rows of every table."""
        with closing(sqlite3.connect(self.file)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}

    async def ask(self, told: Told, *, dry_run: bool = False, **more: Any) -> Any:
        """The answer to an apply."""
        body = {**told._asdict(), "objects": list(told.objects), **more}
        del body["is_meant"]
        return await self.api.http.post(f"/apply?dry_run={str(dry_run).lower()}", json=body)


@settings(max_examples=25, deadline=None)
@given(walk=walks)
def test_an_apply_does_what_its_dry_run_said_and_loses_nothing_in_silence(walk: list[Told | Single | Turn]) -> None:
    """A1, A2, A4, A5, A6, A8, A9"""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_walk(Path(directory), walk))


@settings(max_examples=8, deadline=None)
@given(first=wholes(), second=wholes())
def test_a_set_is_what_was_said_last_whatever_was_said_before(first: Told, second: Told) -> None:
    """A2, A4, A6: from A to B and back to A is A, and nothing of B is left."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_there_and_back(Path(directory), first, second))


async def _there_and_back(directory: Path, first: Told, second: Told) -> None:
    async with serving(directory, settings=SETTINGS) as api:
        await api.installed("hello")
        api.http.event_hooks = {}
        host, seen = Host(api, directory / "volant.db"), list[Any]()
        for told in (first, second, first):
            plan = (await host.ask(told, dry_run=True)).json()
            done = await host.ask(told, plan=plan["token"], confirm_delete=plan["summary"]["delete"])
            assert done.status_code == 200, done.text
            await _turn(host, Turn(None))
            seen.append((await api.get("/manifests?set=infra")).json())
        assert seen[0] == seen[2]


async def _walk(directory: Path, walk: list[Told | Single | Turn]) -> None:
    async with serving(directory, settings=SETTINGS) as api:
        await api.installed("hello")
        api.http.event_hooks = {}  # That answers are as documented is asked elsewhere, and takes most of the time.
        host = Host(api, directory / "volant.db")
        for step in (FIRST, *walk):
            if isinstance(step, Told):
                await _told(host, step)
            elif isinstance(step, Single):
                await _single(host, step)
            else:
                await _turn(host, step)


async def _told(host: Host, told: Told) -> None:
    held, before, revision = host.dump(), host.objects(), host.api.store.revision
    trial = await host.ask(told, dry_run=True)
    assert host.dump() == held, "a dry run writes nothing"
    if trial.status_code != 200:
        refused = await host.ask(told)
        if not (told.prune and refused.json()["code"] == "prune_unconfirmed"):  # A dry run is not asked whether it is.
            assert (refused.status_code, _lasting(refused)) == (trial.status_code, _lasting(trial))
        assert trial.status_code in (400, 409), trial.text
        assert host.dump() == held, "all or nothing"
        event(f"refused: {trial.json()['code']}")
        return
    plan = trial.json()
    meant = {"confirm_delete": plan["summary"]["delete"]} if told.prune and told.is_meant else {}
    done = await host.ask(told, plan=plan["token"], **meant)
    if done.status_code != 200:
        assert done.json()["code"] == "prune_unconfirmed"
        assert not meant and plan["summary"]["delete"]
        assert host.dump() == held, "a prune that is not meant changes nothing"
        event("refused: prune_unconfirmed")
        return
    assert _planned(done.json()) == _planned(plan), "the dry run said exactly this"
    writes = sum(count for action, count in plan["summary"].items() if action != "unchanged")
    assert host.api.store.revision == revision + writes, "one event for each object that is not left as it is"
    _check_done(host, told, done.json(), before)
    _keep(host, told, before)
    await _check_again(host, told)


def _check_done(host: Host, told: Told, view: dict[str, Any], before: dict[str, Object]) -> None:
    after = host.objects()
    actions = {Key(one["kind"], one["name"]): one["action"] for one in view["objects"]}
    written = {uid for uid, obj in after.items() if obj != before.get(uid)}
    assert {after[uid].meta.key for uid in written} == {key for key, action in actions.items() if action != "unchanged"}
    assert not before.keys() - after.keys(), "what goes is cleared first"
    for uid in written & before.keys():
        is_doomed = after[uid].meta.is_deleting
        event("pruned" if is_doomed else "updated")
        assert is_doomed == (actions[after[uid].meta.key] == "delete")
        if is_doomed:
            assert told.prune and uid in host.sets.get(told.set, set()), "only what is of this set goes"
            assert after[uid].meta.key not in _named(told)
        else:
            _check_losses(host, told, uid, live(before[uid]), live(after[uid]))


def _check_losses(host: Host, told: Told, uid: str, before: Leaves, after: Leaves) -> None:
    """What another manager has said stays, unless it was taken by force; and what this one says is so."""
    mine = _leaves(told, uid, host)
    assert {path: after.get(path) for path in mine} == mine, "what it says is so"
    said = host.said.get(uid, {})
    given_up = said.get(told.manager, {}).keys() - mine.keys()
    given_up -= {path for manager, theirs in said.items() if manager != told.manager for path in theirs}
    assert not {path for path in given_up & after.keys() if path.startswith(FREE)}, "what nobody says is gone"
    for manager, theirs in said.items():
        if manager == told.manager:
            continue
        lost = {path for path in theirs if before.get(path) != after.get(path)}
        assert told.force or not lost, f"{manager} loses {lost} in silence"
        assert lost <= mine.keys(), "force takes over what is said, and nothing else"


async def _check_again(host: Host, told: Told) -> None:
    held = host.dump()
    again = await host.ask(told)
    assert again.status_code == 200, again.text
    assert {one["action"] for one in again.json()["objects"]} <= {"unchanged"}, again.text
    assert host.dump() == held, "a second time nothing is written at all"


def _keep(host: Host, told: Told, before: dict[str, Object]) -> None:
    after = host.objects()
    members = host.sets.setdefault(told.set, set())
    for uid, obj in after.items():
        if obj.meta.key not in _named(told):
            continue
        if uid in before and uid not in host.said:  # Nobody has applied it: all of it is the word of single writes.
            host.said[uid] = {"api": live(before[uid])}
        known = host.said.setdefault(uid, {})
        mine = _leaves(told, uid, host)
        for manager in known:
            known[manager] = {path: value for path, value in known[manager].items() if mine.get(path, value) == value}
        known[told.manager] = mine
        for others in host.sets.values():
            others.discard(uid)
        members.add(uid)


def _leaves(told: Told, uid: str, host: Host) -> Leaves:
    """What a telling says of an object, in the words of `live`."""
    obj = host.objects()[uid]
    document = next(one for one in told.objects if Key(one["kind"], one["metadata"]["name"]) == obj.meta.key)
    said = leaves({"metadata": document["metadata"], "spec": document["spec"]})
    del said["/metadata/name"]
    text = said.pop("/spec/config/cloud_init", None)
    return said | ({"/spec/config/cloud_init/user_data": text} if text is not None else {})


async def _single(host: Host, write: Single) -> None:
    before = {uid: live(obj) for uid, obj in host.objects().items()}
    path = write.path if write.path == "/plugins/p/enabled" else f"{write.path}?wait=none"
    await host.api.http.request(write.method, path, json=write.body)
    for uid, obj in host.objects().items():
        known, now = host.said.get(uid), live(obj)
        was = before.get(uid, now)
        changed = {path for path in was.keys() | now.keys() if was.get(path) != now.get(path)}
        if known is None or not changed:
            continue
        theirs = {path for manager in known.keys() - {"api"} for path in known[manager]}
        for manager in known:
            known[manager] = {path: value for path, value in known[manager].items() if path not in changed}
        # Of what another one says its absence is a word as well.
        known.setdefault("api", {}).update({path: now.get(path) for path in changed & (now.keys() | theirs)})


async def _turn(host: Host, turn: Turn) -> None:
    store = host.api.store
    if turn.name is not None:
        vm = store.find(Key("VM", turn.name))
        if vm is not None and not vm.meta.is_deleting:
            await host.api.runs(turn.name)
        return
    for uid, obj in host.objects().items():
        if obj.meta.is_deleting:
            await host.api.clears(obj)
            host.said.pop(uid, None)
            for members in host.sets.values():
                members.discard(uid)


def _named(told: Told) -> set[Key]:
    return {Key(one["kind"], one["metadata"]["name"]) for one in told.objects}


def _planned(view: dict[str, Any]) -> dict[str, Any]:
    objects = [{k: v for k, v in one.items() if (k, one["action"]) != ("uid", "create")} for one in view["objects"]]
    return {**view, "dry_run": None, "objects": objects}


def _lasting(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}
