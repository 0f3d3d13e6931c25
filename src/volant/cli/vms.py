"""`volant vms`: VMs, each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from volant.cli import bodies, edit, options, verbs
from volant.cli.nouns import VM
from volant.cli.verbs import told
from volant.cli.vm_config import config

if TYPE_CHECKING:
    from volant.client import AsyncClient


@click.group()
def vms() -> None:
    """VMs: list, create, start, stop, restart, configure, delete."""


vms.add_command(
    verbs.listing(
        VM,
        sorts=("created_at", "name", "plugin", "status", "started_at", "restarts"),
        filters=("plugin", "deployment", "owner", "status"),
    )
)
vms.add_command(verbs.getting(VM))
vms.add_command(verbs.deleting(VM, can_force=True))
vms.add_command(edit.editing(VM))
vms.add_command(config)


@vms.command()
@click.argument("name", required=False)
@click.option("--plugin", metavar="NAME", shell_complete=options.completed("plugins"), help="What it is made of.")
@click.option(
    "-f", "--filename", "file", metavar="FILE", help="All of it as YAML or JSON; - is standard input. Options beat it."
)
@click.option("--vcpu", type=options.Whole(1, 64), help="Virtual CPUs.")
@click.option("--memory", "memory_mb", type=options.Memory(), metavar="MB", help="Memory in MiB, or 1G.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable; repeat.")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="A label; repeat.")
@click.option("--network", metavar="MODE", help="user, bridge, dhcp or none.")
@click.option("--publish", multiple=True, metavar="HOST:GUEST", help="A TCP port of the guest on the host; repeat.")
@click.option("--cloud-init", metavar="FILE", type=click.File(encoding="utf-8"), help="Its user data.")
@click.option("--restart-policy", type=click.Choice(["always", "on_failure", "never"]), help="When its guest ends.")
@click.option("--grace", "grace_s", type=options.Duration(), help="What its guest gets to shut down (30s).")
@options.waiting(default=False, what="ready")
@options.output("json", "yaml", "name", text="Print the VM instead of a sentence.")
@options.reaching
def create(url: str, shape: str | None, *, is_waiting: bool, timeout_s: float | None, **said: Any) -> None:
    """Make a VM and start it."""
    network: dict[str, Any] = {"mode": said["network"]} if said["network"] else {}
    if said["publish"]:
        network["publish"] = [_published(word) for word in said["publish"]]
    text = said["cloud_init"].read() if said["cloud_init"] else None
    file, fields = bodies.spoken(said["file"]), ("name", "plugin", "restart_policy", "grace_s")
    body = bodies.body_of(said, fields, file.value if file else None, network=network, cloud_init=text)

    async def act(client: AsyncClient) -> Any:
        made = await client.vms.create(body)
        if not is_waiting:
            return made
        return await client.vms.wait(made.name, "ready", generation=made.generation, timeout_s=timeout_s or 60.0)

    with bodies.placed(file):
        told(url, VM, body["name"], act, shape, done="created", is_waiting=is_waiting)


@vms.command()
@options.names("vms", required=False)
@options.selector
@options.waiting(default=False, what="ready")
@options.reaching
def start(
    url: str, names: tuple[str, ...], label_selector: str | None, *, is_waiting: bool, timeout_s: float | None
) -> None:
    """Start stopped VMs."""
    _turned(url, verbs.chosen(url, VM, names, label_selector), "start", is_waiting=is_waiting, timeout_s=timeout_s)


@vms.command()
@options.names("vms", required=False)
@options.selector
@options.waiting(default=False, what="ready")
@options.reaching
def restart(
    url: str, names: tuple[str, ...], label_selector: str | None, *, is_waiting: bool, timeout_s: float | None
) -> None:
    """Restart VMs; stopped ones are started."""
    _turned(url, verbs.chosen(url, VM, names, label_selector), "restart", is_waiting=is_waiting, timeout_s=timeout_s)


@vms.command()
@options.names("vms", required=False)
@options.selector
@click.option("--force", is_flag=True, help="Without asking the guest to shut down first.")
@options.waiting(default=True, what="stopped")
@options.reaching
def stop(
    url: str,
    names: tuple[str, ...],
    label_selector: str | None,
    *,
    force: bool,
    is_waiting: bool,
    timeout_s: float | None,
) -> None:
    """Stop VMs. They stay stopped until somebody starts them."""

    async def act(client: AsyncClient, name: str) -> str:
        bound: dict[str, Any] = {}
        if is_waiting and timeout_s is not None:
            bound = {"wait": "stopped", "timeout_s": min(timeout_s, 600.0)}
        vm = await client.vms.stop(name, force=force, **(bound if is_waiting else {"wait": "none"}))
        return vm.status

    verbs.many(url, VM, verbs.chosen(url, VM, names, label_selector), act)


def _published(word: str) -> dict[str, int]:
    host, _, guest = word.partition(":")
    if not (host.isdecimal() and guest.isdecimal()):
        raise click.UsageError(f"--publish is HOST:GUEST, two ports, not {word!r}.")
    return {"host_port": int(host), "guest_port": int(guest)}


def _turned(url: str, names: list[str], verb: str, *, is_waiting: bool, timeout_s: float | None) -> None:
    async def act(client: AsyncClient, name: str) -> str:
        vm = await getattr(client.vms, verb)(name)
        if is_waiting:
            await client.vms.wait(name, "ready", generation=vm.generation, timeout_s=timeout_s or 60.0)
            return "ready"
        return str(vm.status)

    verbs.many(url, VM, names, act, is_shown=is_waiting)
