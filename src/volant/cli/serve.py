"""`volant serve`: run the daemon in the foreground."""

from __future__ import annotations

import os
from typing import Any

import click

from volant import config, telemetry


@click.command()
@click.option("--listen", metavar="ADDRESS:PORT", help="Where the API listens (127.0.0.1:8080; port 0: a free one).")
@click.option("--data-dir", metavar="DIR", help="Database, artifact cache and run directories.")
@click.option("--hypervisor", metavar="qemu|simulated", help="What runs the guests (qemu).")
@click.option(
    "--network", metavar="user|bridge", help="How guests are connected that say nothing (user: needs no root)."
)
@click.option("--accelerator", metavar="auto|kvm|tcg", help="auto: KVM where a guest really runs, else TCG.")
@click.option("--artifact-allow", metavar="HOST_OR_CIDR", multiple=True, help="Private sources allowed for artifacts.")
@click.option("--artifact-root", metavar="DIR", multiple=True, help="Directories file: artifacts may come from.")
@click.option("--artifact-max-mb", metavar="MB", help="Largest artifact in MiB (16384).")
@click.option("--artifact-checksums", metavar="required|optional", help="Of artifacts from a network (required).")
@click.option("--allowed-host", metavar="NAME", multiple=True, help="Host names a reverse proxy passes on.")
@click.option("--qemu", metavar="PATH", help="The QEMU binary (qemu-system-x86_64).")
@click.option("--pool", metavar="CIDR", help="IPv4 network for addresses of the user network (127.88.0.0/16).")
@click.option("--bridge-name", metavar="NAME", help="The bridge that Volant makes (volbr0).")
@click.option("--bridge-pool", metavar="CIDR", help="IPv4 network on it (10.127.0.0/22).")
@click.option("--bridge-pool6", metavar="CIDR", help="IPv6 network on it (none).")
@click.option("--bridge-dns", metavar="ADDRESS", multiple=True, help="Resolvers that guests on it are told of (none).")
@click.option("--bridge-allow", metavar="NAME", multiple=True, help="Bridges of others that VMs may be attached to.")
@click.option("--bridge-mtu", metavar="BYTES", help="MTU of that bridge and its guests (0: as the kernel has it).")
@click.option("--vmm-uids", metavar="FIRST-LAST", help="Who QEMU runs as when the daemon is root: one uid for each VM.")
@click.option("--vmm-uid", metavar="UID", help="One uid that all VMs share instead; weaker.")
@click.option("--cgroup-parent", metavar="PATH", help="Where control groups (v2) of VMs are made (volant).")
@click.option("--require-kvm", is_flag=True, default=None, help="Refuse to start VMs that would be emulated.")
@click.option("--start-limit", metavar="N", help="Guests starting at one time (the number of cores).")
@click.option("--event-keep", metavar="N", help="Events kept at most (200000).")
@click.option("--event-keep-days", metavar="DAYS", help="Days that events are kept (7).")
@click.option("--database-alarm-mb", metavar="MB", help="Say so when the database is larger than this (4096).")
@click.option(
    "--sync",
    metavar="WORDS",
    multiple=True,
    help="A set kept as files say it: 'set=NAME dir=DIR' or 'set=NAME git=URL branch=NAME path=DIR prune'.",
)
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error (info).")
@click.option("--log-format", metavar="FORMAT", help="auto, json or text (auto: text on a terminal).")
@click.option("--config", metavar="FILE.toml", help="Settings from a file; flags and VOLANT_* variables beat it.")
def serve(**flags: Any) -> None:
    """Run the daemon. Stopping it never stops a VM; the next start finds them again."""
    settings = config.load(flags, os.environ, uid=os.geteuid())  # noqa: TID251  the command line is where it enters
    telemetry.configure(
        settings.log_level, as_text=None if settings.log_format == "auto" else settings.log_format == "text"
    )
    from volant import daemon

    raise SystemExit(daemon.run(settings))
