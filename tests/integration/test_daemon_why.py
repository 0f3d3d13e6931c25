"""`volant why` against a daemon in a process of its own: found by its data directory, and missed when it is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.builders.daemon import daemon, until

from volant.cli import volant


def why(*words: str) -> tuple[int, str]:
    """Exit status and output."""
    result = CliRunner().invoke(volant, ["why", *words])
    return result.exit_code, result.output


def test_the_daemon_of_a_data_directory_says_why_and_a_dead_one_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong checksum, from the file on the disk to the words on the terminal."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_bytes(b"artifact")
    url, data_dir = f"file://{tmp_path}/files/a", tmp_path / "data"
    monkeypatch.delenv("VOLANT_URL", raising=False)
    monkeypatch.setenv("VOLANT_DATA_DIR", str(data_dir))
    with daemon(data_dir, "--hypervisor", "simulated", artifact_root=tmp_path / "files") as running:
        wrong = {"url": url, "checksum": "sha256:" + "0" * 64}
        running.post("/plugins", {"name": "bad", "version": "1", "kernel": {"url": url}, "initramfs": wrong})
        running.post("/deployments", {"name": "api", "plugin": "bad", "replicas": 2})
        status, text = until("it is refused", lambda: (said := why("api"))[0] == 2 and said)
        assert status == 2
        assert text.startswith("Deployment api: 0 of 2 replicas are ready [ReplicasNotReady")
        assert "initramfs: cannot use" in text
        assert "Waiting does not mend it." in text
        assert "Last looks:" in text
        assert why("plugin", "nobody")[0] == 3
        running.kill()
        # What a killed daemon leaves says where it was.
        status, text = why("api")
        assert status == 1
        assert "cannot reach the daemon" in text
