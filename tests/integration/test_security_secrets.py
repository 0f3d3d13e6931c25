"""Secrets of a config in a whole life of a daemon: where they may be read, and that they are nowhere else (E5, A7).

Each secret is a word that occurs nowhere by chance. A VM, a deployment and a plugin are made with them, changed,
refused, deleted; then everything that the daemon has ever written or answered is searched for each of the words.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from tests.builders.artifact_server import answer, serving
from tests.builders.daemon import RunningDaemon, daemon, until
from tests.builders.qemu_guests import IDLES, a_boot, a_running_driver, kernel

from volant.clock import random_uid
from volant.model.vm import CloudInit

ALLOWED = "127.0.0.78"
SECRETS = {
    "user data": "word-of-user-data",
    "meta data": "word-of-meta-data",
    "network": "word-of-network-config",
    "variable": "word-of-a-variable",
    "new variable": "word-of-a-new-variable",
    "plugin": "word-of-a-plugin",
    "deployment": "word-of-a-deployment",
    "refused": "word-that-was-refused",
    "query": "word-of-a-signature",
    "password": "word-of-a-password",
    "body": "word-of-a-server",
}
STORED = ("user data", "meta data", "network", "variable", "new variable", "plugin", "deployment", "query")
"""Those that are part of an object; whoever reads the object's config reads them."""


def words(text: str | bytes) -> set[str]:
    """Which secrets are in it."""
    raw = text.encode() if isinstance(text, str) else text
    return {name for name, word in SECRETS.items() if word.encode() in raw}


class Watched:
    """A daemon, and every answer that it has given, by request."""

    def __init__(self, running: RunningDaemon) -> None:
        self.running = running
        self.answers: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """One request."""
        response = self.running.api.request(method, path, json=body, headers=headers)
        self.answers[f"{method} {path}"] = self.answers.get(f"{method} {path}", "") + response.text
        return response


CLOUD_INIT = {
    "user_data": f"#cloud-config\npassword: {SECRETS['user data']}\n",
    "meta_data": f"password: {SECRETS['meta data']}\n",
    "network_config": f"version: 2\nethernets: {{}}\nwifis: {{x: {{password: {SECRETS['network']}}}}}\n",
}


def lead_a_life(watched: Watched, url: str) -> None:
    """Everything that takes a secret, and everything that refuses one."""
    ask, running = watched.ask, watched.running
    digest = hashlib.sha256(SECRETS["body"].encode()).hexdigest()
    source = {"url": f"{url}?sig={SECRETS['query']}", "checksum": f"sha256:{digest}"}
    plugin = {"name": "p", "version": "1", "kernel": source, "initramfs": source, "env": {"P": SECRETS["plugin"]}}
    assert ask("POST", "/plugins", plugin).status_code == 201
    until("p is ready", lambda: running.get("/plugins/p")["artifacts"]["kernel"]["state"] == "ready")
    config = {"cloud_init": CLOUD_INIT, "env": {"TOKEN": SECRETS["variable"]}}
    wanted = {"name": "a", "plugin": "p", "config": config}
    assert ask("POST", "/vms", wanted, **{"idempotency-key": "one"}).status_code == 201
    assert ask("POST", "/vms", wanted, **{"idempotency-key": "one"}).status_code == 201
    until("a runs", lambda: running.get("/vms/a")["status"] == "running")
    ask("PATCH", "/vms/a/config", {"env": {"TOKEN": SECRETS["new variable"]}})
    ask("PATCH", "/vms/a/config?dry_run=true", {"cloud_init": None})
    ask("POST", "/vms/a/restart")
    group = {"name": "d", "plugin": "p", "replicas": 1, "config": {"env": {"D": SECRETS["deployment"]}}}
    assert ask("POST", "/deployments", group).status_code == 201
    refuse_some(watched)


def refuse_some(watched: Watched) -> None:
    """Secrets in the wrong place: none of these is repeated."""
    secret, password = SECRETS["refused"], SECRETS["password"]
    ask = watched.ask
    for config in (
        {"env": {"TOKEN": f"{secret}\n"}},
        {"env": {"TOKEN": [secret]}},
        {"env": {"TOKEN": secret * 1000}},
        {"cloud_init": {"user_data": [secret]}},
        {"cloud_init": {"user_data": secret * 10_000}},
        {"cloud_init": {"enabled": secret}},
        {"cloud_init": [secret]},
        {"network": {"bridge_name": secret * 2}},
    ):
        assert ask("POST", "/vms", {"name": "r", "plugin": "p", "config": config}).status_code == 400
        assert ask("PATCH", "/vms/a/config", config).status_code == 400
    for url in (f"http://user:{password}@{ALLOWED}/", f"http://{password}@{ALLOWED}/", f"ftp://x/?{password}"):
        source = {"url": url}
        assert ask("POST", "/plugins", {"name": "r", "version": "1", "kernel": source}).status_code == 400
    lying = {"url": f"http://{ALLOWED}:1/?{SECRETS['query']}", "checksum": "sha256:" + "0" * 64}
    ask("POST", "/plugins", {"name": "lie", "version": "1", "rootfs": {"format": "raw", **lying}})
    until("it failed", lambda: watched.running.get("/plugins/lie").get("conditions"))


READABLE = {
    "/vms/a/config": {"user data", "meta data", "network", "new variable", "plugin"},
    "/plugins/p": {"plugin"},
    "/deployments/d": {"deployment", "plugin"},
    "/deployments": {"deployment", "plugin"},
    "/vms/d-1/config": {"deployment", "plugin"},
}
"""What may be read of secrets, and where: the config itself, by whoever may read it."""
ELSEWHERE = [
    *("/vms", "/vms/a", "/vms/a/why", "/vms/a/events", "/vms/a/config/history", "/vms/d-1", "/plugins", "/nope"),
    *("/plugins/p/why", "/plugins/p/events", "/plugins/lie", "/plugins/lie/why", "/plugins/lie/events"),
    *("/deployments/d/why", "/deployments/d/events", "/system/info", "/vms/a/openapi", "/openapi", "/vms/nope"),
    *("/plugins?fields=name,version", "/vms?fields=name,status,labels", "/vms?q=word", "/plugins/r", "/vms/r"),
]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A daemon after that life."""
    directory = tmp_path_factory.mktemp("secrets")
    flags = ("--hypervisor", "simulated", "--artifact-allow", ALLOWED, "--log-level", "debug")
    with daemon(directory / "data", *flags, artifact_root=directory) as running:
        watched = Watched(running)
        asyncio.run(served(watched))
        yield watched


async def served(watched: Watched) -> None:
    """That life, beside the server that it needs."""
    async with serving(answer(SECRETS["body"].encode()), host=ALLOWED) as server:
        await asyncio.to_thread(lead_a_life, watched, server.url(host=ALLOWED))


def everything_told(running: RunningDaemon) -> str:
    """The stream of all events, from the first to the last."""
    last = max(row["revision"] for path in ("/vms", "/deployments") for row in running.get(path))
    told = []
    headers = {"last-event-id": "0"}
    with running.api.stream("GET", "/events", headers=headers) as response:
        for line in response.iter_lines():
            told.append(line)
            if line.startswith("id: ") and int(line[4:]) >= last:
                break
    return "\n".join(told)


def rows(database: Path) -> dict[str, bytes]:
    """All that a table holds."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: repr(connection.execute(f"SELECT * FROM {table}").fetchall()).encode() for table in tables}


def test_a_config_is_read_where_it_belongs(watched: Watched) -> None:
    """E5: or nothing below would mean anything."""
    for path, expected in READABLE.items():
        assert words(watched.ask("GET", path).text) == expected, path


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_other_answer_has_a_secret(watched: Watched, path: str) -> None:
    """E5"""
    assert words(watched.ask("GET", path).text) == set()


def test_no_refusal_repeats_what_was_refused(watched: Watched) -> None:
    """E5, D6: neither the value of a variable, nor a text for cloud-init, nor a password in a URL."""
    for request, text in watched.answers.items():
        assert not words(text) & {"refused", "password", "body", "query"}, request


def test_no_event_has_a_secret(watched: Watched) -> None:
    """E5: what is streamed, and what of it is kept."""
    told = everything_told(watched.running)
    assert told.count("event: ") > 10
    assert "env.TOKEN" in told
    assert words(told) == set()


def test_the_history_has_digests(watched: Watched) -> None:
    """E5: that something was changed can be seen, and not what to."""
    history = watched.ask("GET", "/vms/a/config/history").text
    assert "env.TOKEN" in history
    assert history.count("sha256:") >= 2
    assert words(history) == set()


def test_the_log_has_no_secret(watched: Watched) -> None:
    """E5, A7: of any level, of ours and of the libraries' own."""
    log = watched.running.log.read_text()
    assert len(log.splitlines()) > 10
    assert [line for line in log.splitlines() if words(line)] == []


def test_of_the_database_only_the_objects_have_secrets(watched: Watched) -> None:
    """E5: not the events, not the history, not the answers that are kept for a key; of what was refused, nothing.

    The revisions of a deployment are its templates, which a rollback puts back: they are as its object.
    """
    found = {table: words(raw) for table, raw in rows(watched.running.data_dir / "volant.db").items()}
    assert found.pop("objects") == set(STORED) - {"variable"}
    assert found.pop("revisions") == {"deployment", "plugin"}
    assert {table for table, secrets in found.items() if secrets} == set()


def test_no_process_has_a_secret_on_its_command_line(watched: Watched) -> None:
    """A7, E5"""
    own = Path(f"/proc/{watched.running.process.pid}")
    assert words((own / "cmdline").read_bytes() + (own / "environ").read_bytes()) == set()


def test_what_is_deleted_is_in_no_table(watched: Watched) -> None:
    """E2, E5: after its end nothing of a config is kept. The last test: it ends the life of the others."""
    for path in ("/deployments/d", "/vms/a", "/plugins/p", "/plugins/lie"):
        watched.running.delete(path)
    found = {table: words(raw) for table, raw in rows(watched.running.data_dir / "volant.db").items()}
    assert {table for table, secrets in found.items() if secrets} == set()
    files = [file for file in watched.running.data_dir.rglob("*") if file.is_file() and "volant.db" not in file.name]
    assert [file for file in files if words(file.read_bytes())] == []


async def test_a_real_vmm_is_told_no_secret_but_by_its_files(tmp_path: Path) -> None:
    """A7, E5: what is kept beside it is for the daemon alone."""
    uid = random_uid()
    boot = a_boot(uid, kernel(tmp_path, IDLES))
    config = replace(
        boot.booted.config, env={"TOKEN": SECRETS["variable"]}, cloud_init=CloudInit(user_data=SECRETS["user data"])
    )
    async with a_running_driver(tmp_path / "run") as driver:
        await driver.launch(uid, replace(boot, booted=replace(boot.booted, config=config)))
        seen = await driver.inspect(uid)
        assert seen is not None
        assert seen.booted is not None
        assert seen.booted.config == config
        proc = Path(f"/proc/{seen.pid}")
        assert words((proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()) == set()
        for file in (tmp_path / "run" / uid).iterdir():
            if stat.S_ISREG(file.stat().st_mode) and words(file.read_bytes()):
                assert (tmp_path / "run" / uid).stat().st_mode & 0o077 == 0
