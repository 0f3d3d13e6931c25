"""`volant drain`: the explicit way to stop every VM. Stopping the daemon never does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import click
import httpx2

from volant.errors import VolantError

AT_ONCE = 16
"""Stops under way together: each waits for its guest, and a host has more than one."""
ANSWER_S = 3700.0
"""No grace period is longer than an hour."""


@click.command()
@click.option("--url", envvar="VOLANT_URL", default="http://127.0.0.1:8080", show_default=True, help="The daemon.")
@click.option("--force", is_flag=True, help="Kill instead of asking the guests to shut down.")
def drain(url: str, *, force: bool) -> None:
    """Stop every VM, gracefully, one line each. VMs stay stopped until somebody starts them.

    A VM whose deployment still wants it is stopped all the same; `POST /vms/NAME/start` brings it back.
    """
    limits = httpx2.Timeout(30.0, read=ANSWER_S)
    with httpx2.Client(base_url=url.rstrip("/") + "/api/v1", timeout=limits, trust_env=False) as api:
        names = [vm["name"] for vm in _list(api, url) if vm["status"] != "stopped"]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ends = dict(zip(names, pool.map(lambda name: _stop(api, name, force=force), names), strict=True))
    for name, end in ends.items():
        click.echo(f"{name}: {end}")
    failed = [name for name, end in ends.items() if end not in ("stopped", "deleted")]
    if failed:
        raise VolantError(f"cannot stop {', '.join(failed)}: see above")


def _list(api: httpx2.Client, url: str) -> list[dict[str, str]]:
    try:
        answer = api.get("/vms")
    except httpx2.TransportError as exc:
        raise VolantError(f"cannot reach the daemon at {url}: {exc}. Is it running? Use --url or VOLANT_URL.") from None
    if answer.is_error:
        raise VolantError(f"cannot list the VMs at {url}: it answered {answer.status_code}. Is it a Volant daemon?")
    vms: list[dict[str, str]] = answer.json()
    return vms


def _stop(api: httpx2.Client, name: str, *, force: bool) -> str:
    """`stopped`, `deleted` (somebody else did), or what was in the way."""
    try:
        answer = api.post(f"/vms/{name}/stop", params={"force": "true"} if force else {})
    except httpx2.TransportError as exc:
        return f"no answer: {exc}"
    body = answer.json()
    if answer.status_code == 404 or body.get("code") == "vm_deleting":
        return "deleted"
    if answer.is_success:
        return str(body["status"])  # a stop that was not seen to end in time is answered with what it is
    return "stopped" if body.get("code") == "vm_already_stopped" else str(body.get("error"))
