"""`edit`: a manifest in an editor, which is a script here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.builders.commands import run
from tests.builders.daemon import RunningDaemon, daemon

from volant.cli.ending import DONE, ERROR, GONE

Edits = Callable[..., None]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon with a plugin and a VM."""
    place = tmp_path_factory.mktemp("edit")
    (place / "files").mkdir()
    (place / "files" / "a").write_bytes(b"artifact")
    source = {"url": f"file://{place}/files/a"}
    with daemon(place / "data", "--hypervisor", "simulated", artifact_root=place / "files") as running:
        running.post("/plugins?wait=ready", {"name": "hello", "version": "1", "kernel": source, "initramfs": source})
        running.post("/deployments?wait=complete", {"name": "web", "plugin": "hello", "replicas": 1})
        running.post("/vms?wait=ready", {"name": "db", "plugin": "hello", "config": {"env": {"A": "1"}}})
        yield running


@pytest.fixture
def edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edits:
    """Makes an editor that replaces words of what it is given, and does something else besides."""

    def made(old: str, new: str, besides: str = "") -> None:
        script = tmp_path / "editor.py"
        script.write_text(
            "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
            f"file.write_text(file.read_text().replace({old!r}, {new!r}))\n{besides}\n"
        )
        monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    return made


def left(directory: Path) -> list[Path]:
    """The files that were not taken away."""
    return sorted(directory.glob("volant-*"))


def test_what_was_edited_is_put_back_and_nothing_is_left(host: RunningDaemon, tmp_path: Path, edits: Edits) -> None:
    edits("replicas: 1", "replicas: 2")
    result = run(host.url, "deployments", "edit", "web")
    assert (result.exit_code, result.stdout) == (DONE, "deployment web edited\n"), result.output
    assert host.get("/deployments/web")["replicas"] == 2
    revision = host.get("/deployments/web")["generation"]
    assert run(host.url, "deployments", "edit", "web").stdout == "deployment web unchanged\n"
    assert host.get("/deployments/web")["generation"] == revision
    edits('A: "1"', 'B: "2"')
    assert run(host.url, "vms", "edit", "db", "-o", "name").stdout == "db\n"
    assert host.get("/vms/db/config")["env"] == {"B": "2"}
    assert left(tmp_path) == []


def test_what_is_refused_is_told_at_its_place_and_kept(host: RunningDaemon, tmp_path: Path, edits: Edits) -> None:
    edits("plugin: hello", "plugin: hello\n  gracefully: true")
    result = run(host.url, "vms", "edit", "db")
    assert result.exit_code == ERROR
    (kept,) = left(tmp_path)
    assert f"{kept}:" in result.stderr
    assert f"What you wrote is in {kept}\n" in result.stderr
    assert "gracefully: true" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten(
    host: RunningDaemon, tmp_path: Path, edits: Edits
) -> None:
    """V2: but what it reports of itself is no change."""
    other = "import httpx2\nhttpx2.{}"
    ask = f"'{host.url}/api/v1/deployments/web"
    edits("replicas: 2", "replicas: 3", other.format(f"patch({ask}', json={{'restart_policy': 'never'}})"))
    result = run(host.url, "deployments", "edit", "web")
    assert result.exit_code == ERROR
    assert "somebody has changed it meanwhile" in result.stderr
    assert len(left(tmp_path)) == 1
    edits("restart_policy: never", "restart_policy: always", other.format(f"post({ask}/restart')"))
    assert run(host.url, "deployments", "edit", "web").stdout == "deployment web edited\n"
    assert host.get("/deployments/web")["restart_policy"] == "always"


@pytest.mark.parametrize(
    ("editor", "said"), [("false", "Nothing was changed"), ("nonesuch", "Set EDITOR"), ("vi 'x", "Set EDITOR")]
)
def test_an_editor_that_fails_leaves_nothing(
    host: RunningDaemon, tmp_path: Path, edits: Edits, monkeypatch: pytest.MonkeyPatch, editor: str, said: str
) -> None:
    edits("", "")
    monkeypatch.setenv("VISUAL", editor)
    result = run(host.url, "vms", "edit", "db")
    assert (result.exit_code, said in result.stderr, left(tmp_path)) == (ERROR, True, []), result.output


def test_an_editor_that_fails_keeps_what_was_written(host: RunningDaemon, tmp_path: Path, edits: Edits) -> None:
    edits("kind", "Kind", "sys.exit(1)")
    result = run(host.url, "vms", "edit", "db")
    (file,) = left(tmp_path)
    assert result.exit_code == ERROR
    assert f"What you wrote is in {file}" in result.stderr
    file.unlink()


def test_what_is_not_there_is_not_edited(host: RunningDaemon, tmp_path: Path, edits: Edits) -> None:
    edits("", "")
    assert run(host.url, "vms", "edit", "none").exit_code == GONE
    assert left(tmp_path) == []
