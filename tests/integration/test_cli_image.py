"""`volant image build` as people and programs use it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.builders.building import BUSYBOX, a_host

from volant.cli import volant


def run(tmp_path: Path, *words: str, env: dict[str, str] | None = None) -> Result:
    """The command, with a cache that has a kernel, and an output directory."""
    if not (tmp_path / "cache/kernel").exists():
        a_host(tmp_path)
        (tmp_path / "cache").mkdir()
        (tmp_path / "kernels").rename(tmp_path / "cache/kernel")
    places = ["--output", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    return CliRunner().invoke(volant, ["image", "build", *places, *words], env=env)


def test_a_program_is_built_and_its_manifest_is_the_answer(tmp_path: Path) -> None:
    result = run(tmp_path, str(BUSYBOX), "--name", "sleeper", "--port", "9000", "--", "sleep", "60")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path}/out/sleeper.json\n"
    content = json.loads((tmp_path / "out/sleeper.json").read_text())
    assert content["workload"] == {"type": "tcp", "port": 9000}


def test_lines_say_what_is_done_when_nobody_watches(tmp_path: Path) -> None:
    assert run(tmp_path, str(BUSYBOX)).stderr == "writing the kernel\npacking the initramfs\n"


def test_hello_is_still_a_word(tmp_path: Path) -> None:
    result = run(tmp_path, "hello")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/out/hello.json\n"), result.output


def test_notes_go_beside_the_answer(tmp_path: Path) -> None:
    recipe = '[manifest]\nname = "x"\nversion = "1"\n[image]\nremove = ["/no"]\n[process]\nargv = ["true"]\n'
    (tmp_path / "image.toml").write_text(recipe)
    result = run(tmp_path, str(tmp_path))
    assert result.stdout == f"{tmp_path}/out/x.json\n"
    assert "note: /image/remove: /no takes nothing away\n" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to build from"),
        (["/missing"], "cannot find /missing"),
        (["/bin/ls"], "it needs libraries"),
        (["--debian", "netbase"], "Say the program after --"),
        (["--debian", "-x", "--", "true"], "name of a Debian package"),
        (["--oci", "no-host/x:1"], "cannot "),
        (["--debian", "netbase", "--oci", "x", "--", "true"], "say what to build from"),
        ([str(BUSYBOX), "--busybox", "/bin/ls"], "Install busybox-static"),
    ],
)
def test_what_cannot_be_built_says_what_to_do(tmp_path: Path, words: list[str], message: str) -> None:
    result = run(tmp_path, *words)
    assert result.exit_code != 0
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, str(BUSYBOX), env={"SOURCE_DATE_EPOCH": "yesterday"})
    assert "cannot use SOURCE_DATE_EPOCH=yesterday" in result.stderr


def test_a_terminal_sees_a_bar_and_the_answer_stays_clean(tmp_path: Path) -> None:
    run(tmp_path, "hello")
    ours, theirs = os.openpty()
    places = ["--output", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "volant", "image", "build", str(BUSYBOX), *places]
    done = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 0)[0]:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert done.stdout == f"{tmp_path}/out/busybox.json\n"
    assert b"\x1b[" in shown and b"packing the initramfs" in shown
