"""`volant doctor`: what this host can do, with fixes. Asks the host and not the daemon, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from volant import config
from volant.cli import options
from volant.cli.ending import ERROR
from volant.cli.terminal import COLOURS, is_coloured, plain

if TYPE_CHECKING:
    from volant.daemon.doctor import Finding


@click.command()
@click.option("--listen", metavar="ADDRESS:PORT", help="Where the API would listen (127.0.0.1:8080).")
@click.option("--data-dir", metavar="DIR", help="Where its database would be.")
@click.option("--hypervisor", metavar="qemu|simulated", help="What would run the guests (qemu).")
@click.option("--network", metavar="user|bridge", help="The network that VMs would have.")
@click.option("--accelerator", metavar="auto|kvm|tcg", help="What is to run guests.")
@click.option("--qemu", metavar="PATH", help="The QEMU binary (qemu-system-x86_64).")
@click.option("--config", metavar="FILE.toml", help="Settings from a file; flags and VOLANT_* beat it.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=Path(".cache/volant"),
    show_default=True,
    help="Where `volant image` keeps kernels.",
)
@options.output("table", "json", default="table")
def doctor(shape: str, cache: Path, **flags: Any) -> None:
    """Say what this host can do, and how to mend what it cannot.

    The settings are those of `volant serve`. Exit status: 0 a daemon can run here, 1 it cannot.
    """
    settings = config.load(flags, os.environ, uid=os.geteuid())  # noqa: TID251  the command line is where it enters
    found = asyncio.run(_examined(settings, cache / "kernel", is_told=shape == "table"))
    if shape == "json":
        from volant.cli.shapes import document

        document(found, shape)
    if any(finding.state == "failed" for finding in found):
        raise SystemExit(ERROR)


async def _examined(settings: config.Settings, kernels: Path, *, is_told: bool) -> list[Finding]:
    from volant.daemon.doctor import examine

    found = []
    async for finding in examine(settings, kernels=kernels):
        found.append(finding)
        if is_told:  # One by one, because a probe takes seconds.
            _tell(finding)
    return found


def _tell(finding: Finding) -> None:
    word = finding.state.ljust(7)
    if is_coloured(sys.stdout):
        word = click.style(word, fg=COLOURS[finding.state])
    click.echo(f"{word}  {finding.name:<8}  {plain(finding.says)}")
    if finding.fix:
        click.echo(f"{'':<19}{plain(finding.fix)}")
