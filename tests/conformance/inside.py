"""The examples, run as printed: what happens inside the namespace.

    python -m tests.conformance.inside WORK LINE... ──▶ WORK/ran.json

The loopback of a new namespace is down and its ports are free, so the daemon can be where the examples say that it is.
Each example is a file that is given to its interpreter as it is. What it needs lies around it, never in it: `curl`
reads a `.curlrc` that bounds it in time and has it say each status on its standard error; node is told to load
`browser.cjs`, which gives it the EventSource that a browser has. Whatever runs for ever is ended here, by its own
process.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from msgspec import Struct
from tests.builders.daemon import daemon
from tests.builders.toolchains import PATH, ROOT, node_modules
from tests.conformance.asking import completed, sendable
from tests.conformance.commands import paragraphs, requests
from tests.conformance.presumed import presume
from tests.conformance.reference import Example, Reference, reference
from tests.conformance.world import World

BOUND_S = 90.0
FOLLOWED_S = 3
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1

CURLRC = f"""
no-progress-meter
max-time = {FOLLOWED_S}
write-out = "%{{stderr}}%{{method}} %{{http_code}} %{{url_effective}}\\n"
"""
PACKAGES = ("axios@1", "eventsource@3")
"""What the JavaScript examples name, and what a browser would have."""
BROWSER = "globalThis.EventSource = require('eventsource').EventSource;\n"
SUFFIXES = {"bash": "sh", "python": "py", "go": "go", "javascript": "cjs"}


class Ran(Struct, kw_only=True):
    """One run. `part` is the number of the paragraph of a bash example; the VMs are those before and after."""

    line: int
    part: int
    exit: int
    out: str
    err: str
    vms_before: list[Any] = []
    vms_after: list[Any] = []


class Runner:
    """Runs examples in one directory, against one world."""

    def __init__(self, work: Path, world: World) -> None:
        self._run = work / "run"
        self._home = work / "home"
        self._world = world
        for directory in (self._run, self._home):
            directory.mkdir(parents=True)
        (self._home / ".curlrc").write_text(CURLRC)
        (self._home / "browser.cjs").write_text(BROWSER)
        manifest = world.reference.operation("POST /api/v1/plugins").body
        (self._run / "manifest.json").write_text(json.dumps(sendable(world, manifest)))

    def run(self, example: Example) -> list[Ran]:
        """The example; bash a paragraph at a time, each in the world that it presumes."""
        if example.language == "bash":
            return [self._paragraph(example, *numbered) for numbered in enumerate(paragraphs(example.code))]
        return [self._program(example)]

    def _paragraph(self, example: Example, part: int, code: str) -> Ran:
        asked = [completed(self._world.reference, one) for one in requests(code)]
        try:
            for one in asked:
                presume(self._world, one)
        except (AssertionError, LookupError) as error:
            # The others still tell something: what they presume is another world.
            return Ran(line=example.line, part=part, exit=1, out="", err=f"not run, for want of its world: {error}")
        is_stream = any(self._world.reference.asked(one.method, one.path).is_stream for one in asked)
        return self._ran(example, part, code, ["bash"], self._live if is_stream else _rest)

    def _program(self, example: Example) -> Ran:
        self._world.listed()
        before = self._world.get("/vms")
        follows = "EventSource" in example.code
        command = {
            "python": [sys.executable],
            "go": ["go", "run"],
            "javascript": ["node", *(["--require", str(self._home / "browser.cjs")] if follows else [])],
        }[example.language]
        ran = self._ran(example, 0, example.code, command, self._live if follows else _rest)
        ran.vms_before, ran.vms_after = before, self._world.get("/vms")
        return ran

    def _ran(self, example: Example, part: int, code: str, command: list[str], meanwhile: Callable[[], None]) -> Ran:
        name = f"{example.line}-{part}.{SUFFIXES[example.language]}"
        file, out, err = (self._home / f"{name}{more}" for more in ("", ".out", ".err"))
        file.write_text(code)
        listeners = code.count("addEventListener(")
        with out.open("wb") as to, err.open("wb") as errors:
            argv = [*command, str(file)]
            process = subprocess.Popen(argv, cwd=self._run, env=self._environ(), stdout=to, stderr=errors)
            deadline = time.monotonic() + BOUND_S
            while process.poll() is None and time.monotonic() < deadline:
                meanwhile()
                # A program that listens never ends: it has said enough when each of its listeners has.
                if listeners and len(set(_words(out))) >= listeners:
                    break
            process.kill()
            code_of_exit = process.wait(10)
        return Ran(line=example.line, part=part, exit=code_of_exit, out=out.read_text(), err=err.read_text())

    def _environ(self) -> dict[str, str]:
        # Kept between runs: a Go without its compiled standard library takes a minute to make it.
        caches = {"GOCACHE": str(ROOT / ".cache" / "go"), "GOPATH": str(self._home / "gopath"), "GOTOOLCHAIN": "local"}
        return {
            "PATH": PATH,
            "HOME": str(self._home),
            "NODE_PATH": str(node_modules(*PACKAGES)),
            "LANG": "C.UTF-8",
            **caches,
        }

    def _live(self) -> None:
        """A life, for whoever follows the events."""
        name = self._world.printed_body("POST /api/v1/vms")["name"]
        self._world.vm(name)
        self._world.post(f"/vms/{name}/stop")
        self._world.no_vm(name)


def _words(out: Path) -> list[str]:
    """The words before the colon of each line."""
    return [line.partition(":")[0] for line in out.read_text().splitlines()]


def _rest() -> None:
    time.sleep(0.01)


def raise_loopback() -> None:
    """`ip link set lo up`, without `ip`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def main(work: Path, lines: list[int]) -> None:
    """Run the examples that begin in these lines."""
    raise_loopback()
    known: Reference = reference()
    artifacts = work / "artifacts"
    artifacts.mkdir()
    address = httpx2.URL(known.base).port
    flags = ("--hypervisor", "simulated", "--listen", f"127.0.0.1:{address}")
    with daemon(work / "data", *flags, artifact_root=artifacts) as running:
        world = World(running.api, known, artifacts)
        world.plugins()
        runner = Runner(work, world)
        ran = [one for example in known.examples if example.line in lines for one in runner.run(example)]
    (work / "ran.json").write_text(json.dumps([{f: getattr(one, f) for f in Ran.__struct_fields__} for one in ran]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(line) for line in sys.argv[2:]])
