"""The program of the plugin user-api, on the host: what it answers, and that it keeps what it was told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.builders.daemon import ROOT

APP = ROOT / "examples/plugins/user-api/app/user_api.py"
ADA = {"name": "Ada", "email": "ada@example.org"}
BOB = {"name": "Bob", "email": "bob@example.org"}


@contextmanager
def the_app(tmp_path: Path, **environ: str) -> Iterator[httpx2.Client]:
    """The app, answering; it ends well when it is asked to."""
    command = [sys.executable, "-s", "-B", str(APP), "--data", str(tmp_path / "users.db"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ}) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[-1])
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
                yield client
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[httpx2.Client]:
    """One of them."""
    with the_app(tmp_path) as client:
        yield client


def test_users_are_made_read_changed_and_removed(app: httpx2.Client) -> None:
    """Each with the status that the document says."""
    assert app.get("/healthz").json() == {"status": "ok"}
    assert app.get("/users").json() == []
    assert app.post("/users", json=ADA).json() == {"id": 1, **ADA}
    assert app.post("/users", json=BOB).status_code == 201
    assert app.get("/users/2").json() == {"id": 2, **BOB}
    assert app.put("/users/2", json={**BOB, "name": "Robert"}).json()["name"] == "Robert"
    assert app.put("/users/2", json=ADA).status_code == 409
    assert app.get("/users", params={"limit": 1, "offset": 1}).json() == [{"id": 2, **BOB, "name": "Robert"}]
    removed = app.delete("/users/2")
    assert (removed.status_code, removed.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert app.request(method, "/users/2").status_code == 404
    assert app.put("/users/2", json=BOB).status_code == 404


def test_each_answer_says_which_version_has_given_it(app: httpx2.Client, tmp_path: Path) -> None:
    assert app.get("/users").headers["server"].strip() == "user-api/1"
    with the_app(tmp_path, VERSION="2.1") as second:
        assert second.get("/users/7").headers["server"].strip() == "user-api/2.1"


def test_users_are_kept(tmp_path: Path) -> None:
    """Over the end of the program; and a number is given once."""
    with the_app(tmp_path) as app:
        for user in (ADA, BOB):
            app.post("/users", json=user)
        app.delete("/users/2")
    with the_app(tmp_path) as app:
        assert app.get("/users").json() == [{"id": 1, **ADA}]
        assert app.post("/users", json=BOB).json()["id"] == 3


@pytest.mark.parametrize(
    "body",
    [
        "",
        "x",
        "[]",
        "[" * 5000,
        json.dumps({}),
        json.dumps({"name": "", "email": "a@b"}),
        json.dumps({"name": "x" * 101, "email": "a@b"}),
        json.dumps({"name": "a", "email": "a b@c"}),
        json.dumps({"name": 1, "email": "a@b"}),
    ],
)
def test_what_is_no_user_is_refused(app: httpx2.Client, body: str) -> None:
    """And nothing is kept of it."""
    answer = app.post("/users", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert app.get("/users").json() == []


@pytest.mark.parametrize("path", ["/", "/users/", "/users/x", "/users/1/2", "/users/" + "9" * 30, "/../etc/passwd"])
def test_other_paths_are_not_there(app: httpx2.Client, path: str) -> None:
    """Whatever is asked of them."""
    assert app.get(path).status_code == 404
    assert app.post(path, json=ADA).status_code == 404
    assert app.delete(path).status_code == 404


@pytest.mark.parametrize(
    "query", [{"limit": "x"}, {"limit": "-1"}, {"limit": "501"}, {"offset": "9" * 40}, {"limit": "²"}]
)
def test_a_page_is_asked_for_by_number(app: httpx2.Client, query: dict[str, Any]) -> None:
    """Within bounds."""
    assert app.get("/users", params=query).status_code == 400


def test_a_body_has_a_length_and_it_is_bounded(app: httpx2.Client) -> None:
    """Without one, and with one that is too large, nothing is read."""
    assert app.post("/users", content=b" " * 20_000).status_code == 413
    with socket.create_connection((app.base_url.host, app.base_url.port or 0), timeout=10) as raw:
        raw.sendall(b"POST /users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_requests_that_come_together_are_all_answered(app: httpx2.Client) -> None:
    """Each connection has a thread of its own; of equal addresses one is taken."""

    def make(number: int) -> int:
        user = {"name": "x", "email": f"{number // 2}@example.org"}
        return httpx2.post(f"{app.base_url}/users", json=user, timeout=20, trust_env=False).status_code

    with ThreadPoolExecutor(8) as threads:
        answers = sorted(threads.map(make, range(16)))
    assert answers == [201] * 8 + [409] * 8
    assert len(app.get("/users").json()) == 8
