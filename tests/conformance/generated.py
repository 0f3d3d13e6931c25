"""Clients that other people's generators make of our document, and a life that each of them lives through.

    document ──generator──▶ client + clients/life.* ──▶ `volant serve` ──▶ what it has seen

Everything that is generated stays below the directory of the test.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from msgspec import Struct
from tests.builders.daemon import daemon
from tests.builders.toolchains import PATH, require
from tests.conformance.reference import reference
from tests.conformance.world import World

LIVES = Path(__file__).parent / "clients"
BOUND_S = 280

SEEN = [
    ["installed", "user-api", True],
    ["created", "api", 2],
    ["available", 2, ["api-1", "api-2"]],
    ["scaled", 3, ["api-1", "api-2", "api-3"]],
    ["refused", 409, "deployment_already_exists"],
    ["deleted", 0, 0],
]
"""What each client says, in order."""


class Target(Struct, kw_only=True):
    """A daemon for one client, and the manifest of a plugin that it can install."""

    url: str
    manifest: Path
    directory: Path

    def document(self, version: str = "3.0") -> Path:
        """The OpenAPI document, as it is served."""
        file = self.directory / f"openapi-{version}.json"
        answer = httpx2.get(f"{self.url}/api/v1/openapi?version={version}", trust_env=False)
        file.write_bytes(answer.raise_for_status().content)
        return file

    def generate(self, generator: str, *flags: str) -> Path:
        """What openapi-generator makes of it."""
        require("java")
        made = self.directory / generator
        command = [str(require("openapi-generator-cli")), "generate", "--generator-name", generator]
        command += ["--input-spec", str(self.document()), "--output", str(made), *flags]
        self.run(*command, "--global-property", "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false")
        return made

    def run(self, *command: str, where: Path | None = None, **environ: str) -> str:
        """What a command that succeeds has printed."""
        done = subprocess.run(
            command,
            cwd=where or self.directory,
            env={"PATH": PATH, "HOME": str(self.directory), "LANG": "C.UTF-8", **environ},
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def live(self, *command: str, **environ: str) -> list[Any]:
        """What the life has seen that this command begins."""
        said = self.run(*command, self.url, str(self.manifest), where=None, **environ)
        return [json.loads(line) for line in said.splitlines()]


@contextmanager
def target(directory: Path) -> Iterator[Target]:
    """A daemon in which nothing is, not even a plugin."""
    artifacts = directory / "artifacts"
    artifacts.mkdir()
    with daemon(directory / "data", "--hypervisor", "simulated", artifact_root=artifacts) as running:
        manifest = directory / "manifest.json"
        manifest.write_text(json.dumps(World(running.api, reference(), artifacts).manifest("user-api")))
        yield Target(url=running.url, manifest=manifest, directory=directory)
