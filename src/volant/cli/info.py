"""`volant info` and `volant top`: the daemon and its host, and what of it is given out."""

from __future__ import annotations

import sys

import click

from volant.cli import options
from volant.cli.terminal import columns, is_coloured, plain
from volant.model.views import SystemInfo, VMView

RUNS = ("running", "starting", "restarting", "stopping")
"""Words of VMs that hold what they were given."""


@click.command()
@options.output("table", "json", "yaml", default="table")
@options.reaching
def info(url: str, shape: str) -> None:
    """Describe the daemon and its host."""
    from volant.cli.shapes import document
    from volant.client import Client

    with Client(url) as client:
        found = client.info()
    if shape != "table":
        document(found, shape)
        return
    for name, value in _facts(url, found):
        click.echo(f"{name:<14}{plain(value)}")


def _facts(url: str, found: SystemInfo) -> list[tuple[str, str]]:
    stats, host = found.stats, found.resources
    return [
        ("daemon", f"{found.version} ({found.commit}) at {url}"),
        ("platform", f"{found.platform}, Python {found.python_version}"),
        ("hypervisor", f"{found.hypervisor} {found.hypervisor_version}, {found.accelerator}"),
        ("isolation", found.isolation),
        ("network", found.network),
        ("host", f"{host.cpu_count} CPUs, {host.memory_available_mb} of {host.memory_total_mb} MiB available"),
        ("VMs", f"{stats.total_vms}, {stats.running_vms} of them running"),
        ("deployments", str(stats.total_deployments)),
        ("plugins", str(stats.total_plugins)),
        *([("detail", found.detail)] if found.detail else []),
    ]


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The largest so many.")
@options.output("table", "json", "yaml", "name", default="table")
@options.reaching
def top(url: str, limit: int, shape: str) -> None:
    """Show what the host has, and what is given out of it.

    What each VM was given, the largest first: not what its guest makes of it.
    """
    from volant.client import Client

    with Client(url) as client:
        found, vms = client.info(), [vm for vm in client.vms.list() if vm.status in RUNS]
    vms.sort(key=lambda vm: (-vm.resources.memory_mb, -vm.resources.vcpu, vm.name))
    if shape != "table":
        from volant.cli.shapes import show

        show(vms[:limit], VMView, shape)
        return
    memory_mb, vcpus = sum(vm.resources.memory_mb for vm in vms), sum(vm.resources.vcpu for vm in vms)
    host = found.resources
    click.echo(f"{len(vms)} VMs with {vcpus} CPUs and {memory_mb} MiB on a host of {host.cpu_count} CPUs")
    click.echo(f"and {host.memory_total_mb} MiB, of which {host.memory_available_mb} MiB are available")
    if not vms:
        return
    click.echo()
    for line in columns(
        ("NAME", "STATUS", "VCPU", "MEMORY", "PLUGIN"), _rows(vms[:limit]), coloured=is_coloured(sys.stdout)
    ):
        click.echo(line)
    if len(vms) > limit:
        click.echo(f"and {len(vms) - limit} more", err=True)


def _rows(vms: list[VMView]) -> list[tuple[object, ...]]:
    return [(vm.name, vm.status, vm.resources.vcpu, f"{vm.resources.memory_mb}Mi", vm.plugin) for vm in vms]
