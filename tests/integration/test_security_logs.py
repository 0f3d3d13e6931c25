"""What users and their guests write into the log of a daemon: a line stays a line, and no terminal obeys it (B10)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.builders.daemon import RunningDaemon, daemon, until
from tests.builders.raw_http import exchange, request

ESCAPES = (
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\r\n2026-01-01 [info] forged",
    "\x9b31m",
    "\u202ecod",
    "\u2028",
    "\x00",
    "\x7f",
)
STEERS = re.compile("[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028-\u202e]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""What the log itself says to a terminal."""

SAYS = """
import sys
from volant import telemetry
telemetry.configure("debug", as_text=sys.argv[1] == "text")
log = telemetry.logger("volant.test")
for number, text in enumerate(sys.argv[2:]):
    log.info("said." + text, message=text, **{"key": {"inner": text}})
try:
    raise ExceptionGroup(sys.argv[2], [ValueError(sys.argv[3])])
except ExceptionGroup:
    log.error("failed", exc_info=True)
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_whatever_is_logged_steers_no_terminal(form: str) -> None:
    """B10: in the message, in a field, in a field of a field, and in an exception."""
    words = [text.replace("\0", "") for text in ESCAPES]
    done = subprocess.run([sys.executable, "-c", SAYS, form, *words], capture_output=True, timeout=60, check=True)
    lines = COLOUR.sub("", done.stderr.decode()).splitlines()
    assert len(lines) == len(ESCAPES) + (1 if form == "json" else 4)
    assert not [line for line in lines if STEERS.search(line) or "\x1b" in line]
    assert "ValueError" in done.stderr.decode()


@pytest.fixture(scope="module", params=["text", "json"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon that logs in either form."""
    directory = tmp_path_factory.mktemp("logs")
    flags = ("--hypervisor", "simulated", "--log-level", "debug", "--log-format", request.param)
    with daemon(directory / "data", *flags, artifact_root=directory) as found:
        yield found


def is_told(running: RunningDaemon, path: str) -> bool:
    return bool(running.get(path).get("conditions"))


def test_a_name_of_a_file_forges_no_line(running: RunningDaemon, tmp_path: Path) -> None:
    """B10: a URL is plain, and what its escapes stand for is not."""
    for number, name in enumerate(("%1b%5b2J", "%0a%7b%22event%22%3a%22forged%22%7d", "%c2%9b31m", "%e2%80%aecod")):
        url = f"file://{running.data_dir.parent}/{name}"
        rootfs = {"format": "raw", "url": url}
        running.post("/plugins", {"name": f"p{number}", "version": "1", "rootfs": rootfs})
        until("it is refused", partial(is_told, running, f"/plugins/p{number}"))
    check(running)


def test_a_request_forges_no_line(running: RunningDaemon) -> None:
    """B10: in its path, its id, its headers and its host."""
    host, _, port = running.url.removeprefix("http://").partition(":")
    for text in ("\x1b[2J", "\x9b31m", "%0d%0aforged", "%1b[2J"):
        for sent in (
            request("GET", f"/api/v1/vms/{text}"),
            request("GET", "/api/v1/vms", f"X-Request-Id: {text}"),
            request("GET", "/api/v1/vms", f"User-Agent: {text}", f"Referer: {text}"),
            request("GET", "/api/v1/vms", host=f"{text}.example"),
            request(f"{text}", "/api/v1/vms"),
        ):
            exchange((host, int(port)), sent)
    check(running)


def check(running: RunningDaemon) -> None:
    """Every line of the log is one that the daemon meant."""
    lines = running.log.read_text().splitlines()
    assert lines
    for line in lines:
        plain = COLOUR.sub("", line)
        assert not STEERS.search(plain), line
        assert "\x1b" not in plain, line
        is_ours: Any = json.loads(line)["logger"] if line.startswith("{") else re.match(r"[0-9T:.-]+Z \[", plain)
        assert is_ours, line
        assert "forged" not in plain.split("=")[0], line
