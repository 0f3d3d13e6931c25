"""What the daemon says of itself and its host in `system/info`."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import msgspec
from msgspec import Struct

from volant import __version__
from volant.drivers import HypervisorInfo, Network
from volant.drivers.processes import host_resources
from volant.model.views import SystemFacts

BUILD_FILE = Path(__file__).parents[1] / "_build.json"
"""Written into a wheel when it is built; a checkout asks git instead."""
GIT_S = 5.0


class Build(Struct, frozen=True):
    """Which source this is: short commit id and its time (RFC 3339)."""

    commit: str = "unknown"
    build_date: str = "unknown"


def build() -> Build:
    """The build that runs: of the wheel, or of the checkout, or unknown."""
    if BUILD_FILE.exists():
        return msgspec.json.decode(BUILD_FILE.read_bytes(), type=Build)
    source = Path(__file__).resolve().parents[3]
    git = shutil.which("git")
    if git is None or not (source / ".git").exists():
        return Build()
    command = [git, "-C", str(source), "log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%h %cd"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_S, check=True, env={"TZ": "UTC", "HOME": "/"}
        )
    except (OSError, subprocess.SubprocessError):
        return Build()
    commit, _, date = answer.stdout.strip().partition(" ")
    return Build(commit, date)


def facts(info: HypervisorInfo, network: Network, made: Build) -> SystemFacts:
    """What is so now; memory in MiB."""
    resources = host_resources()
    return SystemFacts(
        version=__version__,
        commit=made.commit,
        build_date=made.build_date,
        python_version=platform.python_version(),
        platform=f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
        cpu_count=resources.cpu_count,
        memory_total_mb=resources.memory_total_mb,
        memory_available_mb=resources.memory_available_mb,
        hypervisor=info.name,
        hypervisor_version=info.version,
        accelerator=info.accelerator,
        isolation=info.isolation,
        network=network.mode,
        detail=info.detail,
        confinement=info.confinement,
    )
