"""Atomic sets over HTTP and by the command: what is refused, what is shown, and how waiting ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from click.testing import Result
from structlog.testing import capture_logs
from tests.builders.commands import run
from tests.builders.engines import Alive, alive
from tests.builders.server import PATIENCE_S, serving

from volant.cli.ending import ERROR, FAILED, TIMED_OUT, USAGE
from volant.model.apply.sets import REVISIONS_KEPT

NOWHERE = "http://127.0.0.1:1/kernel"
"""Nobody answers there: it is tried again for ever."""


class Desk(NamedTuple):
    """A daemon, and a directory of manifests whose plugin it can install."""

    daemon: Alive
    infra: Path

    @property
    def url(self) -> str:
        """Where the daemon is."""
        return f"http://127.0.0.1:{self.daemon.served.port}"

    async def volant(self, *words: str) -> Result:
        """The command, while the daemon goes on."""
        return await asyncio.to_thread(run, self.url, *words)

    def plugin(self, name: str = "hello", kernel: str | None = None) -> dict[str, Any]:
        """A manifest; of one that never becomes ready with another kernel."""
        said = kernel or (self.infra.parent / "images" / "kernel").as_uri()
        return {
            "kind": "Plugin",
            "metadata": {"name": name},
            "spec": {"version": "1.0.0", "kernel": {"url": said}, "initramfs": {"url": said}},
        }

    def write(self, *objects: dict[str, Any]) -> str:
        """The directory says these from now on."""
        (self.infra / "all.yaml").write_text(yaml.safe_dump_all(objects))
        return str(self.infra)

    async def apply(self, *objects: dict[str, Any], **asked: Any) -> Any:
        """The answer to an atomic apply, unless it is said otherwise."""
        body = {"set": "infra", "atomic": True, "objects": list(objects), **asked}
        return await self.daemon.served.http.post("/apply", json=body)

    async def ends(self, number: int) -> dict[str, Any]:
        """The set, once that revision of it is no longer progressing."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                shown: dict[str, Any] = (await self.daemon.served.get("/sets/infra")).json()
                (one,) = (one for one in shown["revisions"] if one["number"] == number)
                if one["state"] != "progressing":
                    return shown
                await asyncio.sleep(0.02)


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    for name in ("images", "infra"):
        (directory / name).mkdir()
    (directory / "images" / "kernel").write_bytes(b"kernel".ljust(512, b"\0"))
    with capture_logs():
        async with alive(directory, root=directory / "images") as daemon:
            yield Desk(daemon, directory / "infra")


def vm(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "VM", "metadata": {"name": name}, "spec": {"plugin": "hello", **spec}}


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"atomic": True, "deadline_seconds": 0}, "/deadline_seconds"),
        ({"atomic": True, "deadline_seconds": 90_000}, "/deadline_seconds"),
        ({"atomic": True, "deadline_seconds": "5m"}, "/deadline_seconds"),
        ({"deadline_seconds": 60}, "/deadline_seconds"),
        ({"retry": "yes"}, "/retry"),
        ({"atomic": "yes"}, "/atomic"),
    ],
)
async def test_nonsense_is_refused_where_it_stands(said: dict[str, Any], path: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        answer = await api.post("/apply", set="infra", objects=[], **said)
        assert answer.status_code == 400
        assert [field["path"] for field in answer.json()["details"]["fields"]] == [path]


async def test_a_set_that_was_never_atomic_has_no_revisions(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.installed("hello")
        answer = await api.post("/apply", set="infra", objects=[vm("db")])
        assert "revision" not in answer.json()
        shown = (await api.get("/sets/infra")).json()
        assert (shown["state"], shown["revision"], shown["revisions"]) == (None, None, [])


async def test_a_set_tells_what_became_of_it(tmp_path: Path) -> None:
    """Healthy, then taken back as a whole, then refused, then rolled back to by hand."""
    async with desk(tmp_path) as here:
        first = await here.apply(here.plugin(), vm("db"))
        assert first.json()["revision"] == 1
        shown = await here.ends(1)
        assert (shown["state"], shown["deadline"], shown["last_failure"]) == ("healthy", None, None)
        bad = (here.plugin(), vm("db", grace_s=5), here.plugin("other", "file:///elsewhere"), vm("new"))
        assert (await here.apply(*bad)).json()["revision"] == 2
        shown = await here.ends(2)
        assert (shown["state"], shown["revision"]) == ("reverted", 2)
        failure = shown["last_failure"]
        assert (failure["number"], failure["objects"], failure["atomic"]) == (2, 4, True)
        assert failure["message"].startswith("Plugin other: ")
        assert here.daemon.served.store.vm("db").spec.grace_s == 30.0
        refused = await here.apply(*reversed(bad))
        assert (refused.status_code, refused.json()["code"]) == (409, "set_reverted")
        assert refused.json()["details"]["revision"] == 2
        events = (await here.daemon.served.get("/vms/db/events")).json()
        (event,) = (one for one in events if one.get("reason") == "SetReverted")
        assert "Plugin other: " in event["message"]
        await here.apply(here.plugin(), vm("db", grace_s=7))
        await here.ends(3)
        back = await here.daemon.served.http.post("/sets/infra/rollback", json={})
        assert back.json()["revision"] == 4
        assert here.daemon.served.store.vm("db").spec.grace_s == 30.0
        lost = await here.daemon.served.http.post("/sets/infra/rollback", json={"revision": 9})
        assert (lost.status_code, lost.json()["code"]) == (409, "no_such_revision")
        assert (await here.daemon.served.http.post("/sets/none/rollback", json={})).status_code == 404


async def test_rolling_back_leaves_parts_out_and_is_answered_once(tmp_path: Path) -> None:
    """A part says nothing of the rest; and a key is answered as at first, whatever is kept of the set by then."""
    async with desk(tmp_path) as here:
        infra = (here.plugin(), vm("db"))
        await here.apply(*infra)
        await here.ends(1)
        await here.apply(vm("db", grace_s=5), partial=True)
        await here.ends(2)
        await here.apply(here.plugin(), vm("db", grace_s=6))
        await here.ends(3)
        http, key = here.daemon.served.http, {"Idempotency-Key": "once"}
        nothing = await http.post("/sets/infra/restore")
        assert (nothing.status_code, nothing.json()["revision"]) == (200, 3), "there is nothing to restore"
        tried = await http.post("/sets/infra/rollback", params={"dry_run": "true"}, json={})
        assert tried.json()["summary"]["update"] == 1
        first = await http.post("/sets/infra/rollback", json={}, headers=key)
        assert (first.status_code, first.json()["revision"]) == (200, 4)
        assert here.daemon.served.store.vm("db").spec.grace_s == 30.0
        for number in range(5, 5 + REVISIONS_KEPT):
            await here.apply(here.plugin(), vm("db", grace_s=number), partial=True, atomic=False)
        assert min(one.number for one in here.daemon.served.store.set_revisions("infra")) > 1
        lost = await http.post("/sets/infra/rollback", json={"revision": 1})
        assert (lost.status_code, lost.json()["code"]) == (409, "no_such_revision")
        again = await http.post("/sets/infra/rollback", json={}, headers=key)
        assert (again.status_code, again.headers["idempotent-replayed"], again.json()) == (200, "true", first.json())


async def test_applying_twice_is_one_revision(tmp_path: Path) -> None:
    """A5: nothing is written while it progresses, nor once it is healthy, and its time is not prolonged."""
    async with desk(tmp_path) as here:
        slow = (here.plugin("slow", NOWHERE),)
        await here.apply(*slow)
        shown = (await here.daemon.served.get("/sets/infra")).json()
        await here.apply(*slow, deadline_seconds=900)
        again = (await here.daemon.served.get("/sets/infra")).json()
        assert (shown["state"], again["revisions"]) == ("progressing", shown["revisions"])


async def test_what_is_healthy_already_is_so_at_once(tmp_path: Path) -> None:
    """A set whose first atomic apply has nothing to do tells nobody, and so nobody has to look."""
    async with desk(tmp_path) as here:
        await here.apply(here.plugin(), vm("db"), atomic=False)
        await here.daemon.served.get("/vms/db/wait?state=ready&timeout=20s")
        await here.daemon.served.get("/plugins/hello/wait?state=ready&timeout=20s")
        written = here.daemon.served.store.revision
        await here.apply(here.plugin(), vm("db"))
        shown = (await here.daemon.served.get("/sets/infra")).json()
        assert (shown["state"], shown["revision"]) == ("healthy", 1)
        assert here.daemon.served.store.revision == written


async def test_waiting_for_an_atomic_set_ends_with_it(tmp_path: Path) -> None:
    """0 healthy; 2 taken back, with the reason; 4 not yet; and what was taken back is not tried in a loop."""
    async with desk(tmp_path) as here:
        infra = here.write(here.plugin(), vm("db"))
        done = await here.volant("apply", "-f", infra, "--atomic", "--deadline", "1m", "--wait")
        assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, "set/infra healthy"), done.output
        here.write(here.plugin(), vm("db", grace_s=5), here.plugin("other", NOWHERE))
        late = await here.volant("apply", "-f", infra, "--atomic", "--deadline", "2s", "--wait", "--timeout", "0")
        assert late.exit_code == TIMED_OUT, late.output
        failed = await here.volant("apply", "-f", infra, "--atomic", "--wait")
        assert failed.exit_code == FAILED, failed.output
        assert "set/infra was taken back: Plugin other: " in failed.stderr
        refused = await here.volant("sync", "--dir", infra, "--atomic", "--once")
        assert refused.exit_code == ERROR
        assert "--retry" in refused.stderr or "taken back" in refused.stderr
        shown = await here.volant("sets", "get", "infra")
        assert "healthy" in shown.stdout and "reverted" in shown.stdout and "Plugin other: " in shown.stdout
        listed = await here.volant("sets", "list")
        assert "reverted" in listed.stdout
        again = await here.volant("sets", "rollback", "infra", "--to", "1", "--atomic", "--deadline", "1m")
        assert again.exit_code == 0, again.output
        wrong = await here.volant("apply", "-f", infra, "--deadline", "1m")
        assert wrong.exit_code == USAGE
