"""schemathesis, as its command line runs it, against a daemon with something in it.

    document (3.0.3 or 3.1) ──st run──▶ requests ──▶ `volant serve` ──▶ every check of every answer ──▶ Outcome

The same requests each time: no seed but a fixed one, no database of what failed before. Each kind of run has a test
file, so that they run side by side; each has a floor of cases, and the floors are the promise of `CASES` in all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from tests.builders.daemon import daemon
from tests.builders.toolchains import ROOT
from tests.conformance.reference import reference
from tests.conformance.world import World

CASES = 5000
FLOORS: Mapping[str, int] = {
    "boundaries of 3.0": 3000,
    "boundaries of 3.1": 3000,
    "values": 500,
    "sequences": 250,
    "streams": 300,
}
"""Kind of run -> the least number of cases."""

BOUND_S = 280
STREAMS = ("followEvents", "followVMEvents", "followDeploymentEvents", "followPluginEvents")
"""Operations whose answer does not end."""
WITHOUT_STREAMS = tuple(flag for name in STREAMS for flag in ("--exclude-operation-id", name))

_VMS = ("web-1", "my-vm", "test-vm", "api-1", "nobody")
_DEPLOYMENTS = ("api", "web", "nobody")
_SELECTORS = ("app=web", "app in (web,api),!gpu", "tier!=db", "app")
_REJECTED = (400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 415, 422, 426, 428, 429)


class Calm(World):
    """The same world, but nobody asks its guests ten times a second how they are."""

    def manifest(self, name: str) -> dict[str, Any]:
        """With a health check that costs nothing."""
        return {**super().manifest(name), "health_check": {"readiness": {"period_s": 1}}}


class Outcome(Struct, kw_only=True):
    """What became of a run: `told` is what schemathesis has to say to people, `report` the same for programs."""

    cases: int
    told: str
    report: dict[str, Any]


class Fuzzed:
    """A daemon's world, and schemathesis to be let loose on it."""

    def __init__(self, url: str, world: World, directory: Path) -> None:
        self.url = url
        self._world = world
        self._directory = directory

    def run(self, *flags: str, version: str = "3.0", hooks: str = "fuzz_hooks", more: str = "") -> Outcome:
        """Run it with these flags and lines of its configuration, on the document in that version of OpenAPI."""
        config, report = self._directory / "schemathesis.toml", self._directory / "report.json"
        config.write_text(self._config() + more)
        location = f"{self.url}/api/v1/openapi?version={version}"
        command = [str(Path(sys.executable).with_name("st")), "--config-file", str(config), "run", location]
        command += ["--url", self.url, "--report-json-path", str(report)]
        command += ["--checks", "all", "--generation-deterministic", *flags]
        environ = {**os.environ, "SCHEMATHESIS_HOOKS": f"tests.conformance.{hooks}", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=self._directory, env=environ, capture_output=True, text=True, timeout=BOUND_S, check=False
        )
        told = done.stdout + done.stderr
        assert report.exists(), told
        found = json.loads(report.read_text())
        return Outcome(cases=found["test_cases"]["generated"], told=told, report=found)

    def _config(self) -> str:
        """Names and addresses that mean something here: chance alone would never ask for a VM that is there."""
        plugins = [*self._world.plugin_names, "my-app"]
        words = {
            "vms": _VMS,
            "deployments": _DEPLOYMENTS,
            "plugins": plugins,
            "urls": [self._world.rootfs["url"]],
            "checksums": [self._world.rootfs["checksum"]],
            "selectors": _SELECTORS,
            "fields": ("name", "name,uid", "labels.app,generation"),
            "revisions": (0, 1),
        }
        dictionaries = "\n".join(f"{name} = {{ values = {json.dumps(list(of))} }}" for name, of in words.items())
        return f"""
color = false
continue-on-failure = true
request-timeout = 20.0
suppress-health-check = ["too_slow"]
[checks.negative_data_rejection]
expected-statuses = {json.dumps([str(status) for status in _REJECTED])}
[dictionaries]
{dictionaries}
[parameters]
"query.label_selector" = {{ dictionary = "selectors", probability = 0.7 }}
"query.fields" = {{ dictionary = "fields", probability = 0.7 }}
"query.since" = {{ dictionary = "revisions", probability = 0.5 }}
"body.plugin" = {{ dictionary = "plugins", probability = 0.8 }}
"body.spec.plugin" = {{ dictionary = "plugins", probability = 0.8 }}
"body.rootfs.url" = {{ dictionary = "urls", probability = 0.8 }}
"body.rootfs.checksum" = {{ dictionary = "checksums", probability = 0.8 }}
{_named("vms")}{_named("deployments")}{_named("plugins")}"""


def _named(collection: str) -> str:
    return f"""
[[operations]]
include-path-regex = "^/api/v1/{collection}(/|$)"
[operations.parameters]
"path.name" = {{ dictionary = "{collection}", probability = 0.7 }}
"body.name" = {{ dictionary = "{collection}", probability = 0.5 }}
"""


@contextmanager
def fuzzed(directory: Path) -> Iterator[Fuzzed]:
    """A daemon that has what the reference lists."""
    artifacts = directory / "artifacts"
    artifacts.mkdir()
    with daemon(directory / "data", "--hypervisor", "simulated", artifact_root=artifacts) as running:
        world = Calm(running.api, reference(), artifacts)
        world.listed()
        yield Fuzzed(running.url, world, directory)
        assert running.get("/system/info")["version"], "the daemon is alive and well"


def assert_keeps_its_word(outcome: Outcome, kind: str) -> None:
    """Everything was asked, nothing failed, and there was enough of it. A part of a kind of run has no floor."""
    report = outcome.report
    assert (report["failures"], report["errors"], report["exit_code"]) == ([], [], 0), outcome.told
    assert report["complete"], outcome.told
    operations = report["operations"]
    # Sequences go where links lead; any other run goes everywhere.
    assert operations["tested"] == operations["selected"] or "sequences" in kind, outcome.told
    assert outcome.cases >= FLOORS.get(kind, 1), f"{outcome.cases} cases"
