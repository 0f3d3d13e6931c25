"""`volant drain`: the explicit way to stop every VM. Stopping the daemon never does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from volant.cli.options import reaching
from volant.cli.terminal import plain
from volant.errors import VolantError

if TYPE_CHECKING:
    from volant.client import Client

AT_ONCE = 16
"""Stops under way together: each waits for its guest, and a host has more than one."""


@click.command()
@click.option("--force", is_flag=True, help="Kill instead of asking the guests to shut down.")
@reaching
def drain(url: str, *, force: bool) -> None:
    """Stop every VM, gracefully, one line each. VMs stay stopped until somebody starts them.

    A VM whose deployment still wants it is stopped all the same; `volant vms start NAME` brings it back.
    """
    from concurrent.futures import ThreadPoolExecutor

    from volant.client import Client

    with Client(url) as client:
        names = [vm.name for vm in client.vms.list() if vm.status != "stopped"]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ends = dict(zip(names, pool.map(lambda name: _stop(client, name, force=force), names), strict=True))
    for name, end in ends.items():
        click.echo(f"{name}: {plain(end)}")
    failed = [name for name, end in ends.items() if end not in ("stopped", "deleted")]
    if failed:
        raise VolantError(f"cannot stop {', '.join(failed)}: see above")


def _stop(client: Client, name: str, *, force: bool) -> str:
    """`stopped`, `deleted` (somebody else did), or what was in the way."""
    from volant.client import ApiError, NoAnswer, NotReached

    try:
        return client.vms.stop(name, force=force).status
    except NotReached as error:
        return str(error.object.status)  # a stop that was not seen to end in time
    except NoAnswer as error:
        return f"no answer: {error.message}"
    except ApiError as error:
        if error.status == 404 or error.code == "vm_deleting":
            return "deleted"
        return "stopped" if error.code == "vm_already_stopped" else error.message
