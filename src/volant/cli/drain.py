"""`volant drain`: the explicit way to stop every VM. Stopping the daemon never does."""

from __future__ import annotations

import click
import httpx2

from volant.errors import VolantError


@click.command()
@click.option("--url", envvar="VOLANT_URL", default="http://127.0.0.1:8080", show_default=True, help="The daemon.")
@click.option("--force", is_flag=True, help="Kill instead of asking the guests to shut down.")
def drain(url: str, *, force: bool) -> None:
    """Stop every VM, gracefully, one line each. VMs stay stopped until somebody starts them.

    A VM whose deployment still wants it is stopped all the same; `POST /vms/NAME/start` brings it back.
    """
    with httpx2.Client(base_url=url.rstrip("/") + "/api/v1", timeout=120, trust_env=False) as api:
        failed = [vm["name"] for vm in _list(api, url) if vm["status"] != "stopped" and not _stop(api, vm, force=force)]
    if failed:
        raise VolantError(f"cannot stop {', '.join(failed)}: see above")


def _list(api: httpx2.Client, url: str) -> list[dict[str, str]]:
    try:
        answer = api.get("/vms")
    except httpx2.TransportError as exc:
        raise VolantError(f"cannot reach the daemon at {url}: {exc}. Is it running? Use --url or VOLANT_URL.") from None
    vms: list[dict[str, str]] = answer.json()
    return vms


def _stop(api: httpx2.Client, vm: dict[str, str], *, force: bool) -> bool:
    answer = api.post(f"/vms/{vm['name']}/stop", params={"force": "true"} if force else {})
    body = answer.json()
    is_stopped = answer.is_success or body.get("code") == "vm_already_stopped"
    click.echo(f"{vm['name']}: {'stopped' if is_stopped else body.get('error')}")
    return is_stopped
