"""`volant why`: why something is not ready, as the API tells it, for people.

Exit status: 0 it is ready; 1 not yet, or the daemon cannot be asked; 2 it will not be unless somebody acts; 3 there is
no such object; 64 the command line is wrong. Scripts may lean on it, and may take `--json` instead of the text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx2

from volant.cli.terminal import plain
from volant.config import default_data_dir, variable
from volant.errors import VolantError

KINDS: Mapping[str, str] = {"vm": "vms", "deployment": "deployments", "plugin": "plugins"}
STATUS: Mapping[str, int] = {"ready": 0, "by_itself": 1, "not_by_itself": 2}
GONE = 3
USAGE = 64
"""What sysexits.h calls a wrong command line: click's own 2 has a meaning here."""
ANSWER_S = 10.0
DEFAULT = "http://127.0.0.1:8080"

OUTLOOKS: Mapping[str, str] = {
    "ready": "It is ready.",
    "by_itself": "Nobody has to do anything: it is tried again as long as it takes.",
    "not_by_itself": "Waiting does not mend it.",
}


class Misused(click.UsageError):
    """The command line is wrong."""

    exit_code = USAGE


class Asked(click.Command):
    """A command whose wrong use is told apart from what it has to say."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with another exit status."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise Misused(error.format_message(), ctx) from error


@click.command(cls=Asked)
@click.argument("words", nargs=-1, metavar="[vm|deployment|plugin] NAME")
@click.option("--url", envvar="VOLANT_URL", help=f"The daemon: that of --data-dir, or {DEFAULT}.")
@click.option("--data-dir", envvar=variable("data_dir"), metavar="DIR", help="Where the daemon says its address.")
@click.option("--json", "as_json", is_flag=True, help="The answer of the API as it is.")
def why(words: tuple[str, ...], url: str | None, data_dir: str | None, *, as_json: bool) -> None:
    """Say why a VM, deployment or plugin is not ready, and when it is tried again.

    Without a kind, the first object of that name: a VM, else a deployment, else a plugin.

    Exit status: 0 ready, 1 not yet (or no daemon), 2 not unless somebody acts, 3 no such object, 64 wrong usage.
    """
    kinds, name = _asked(words)
    url = (url or _announced(data_dir) or DEFAULT).rstrip("/")
    found = _find(url, kinds, name)
    if found is None:
        click.echo(f"there is no {' or '.join(kinds)} {name}", err=True)
        raise SystemExit(GONE)
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(found)))
    raise SystemExit(STATUS.get(found["outlook"], 1))


def lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """The answer of the API as text."""
    at = _instant(answer["at"])
    for link in answer["chain"]:
        yield f"{'  ' * link['level']}{plain(link['says'])}{_when(link, at)}"
    yield OUTLOOKS.get(answer["outlook"], "")
    if answer["outlook"] == "ready":
        return
    yield from _listed("Last looks:", [_turn(turn) for turn in answer["turns"]])
    yield from _listed("Last events:", [_event(event) for event in answer["events"]])


def _asked(words: tuple[str, ...]) -> tuple[list[str], str]:
    match words:
        case (name,):
            return list(KINDS), name
        case (kind, name) if kind in KINDS:
            return [kind], name
    raise Misused(f"expected a NAME, or one of {', '.join(KINDS)} and a NAME")


def _announced(data_dir: str | None) -> str | None:
    """Where the daemon of that directory listens, if it says so."""
    environ = os.environ  # noqa: TID251  the command line is where it enters
    directory = Path(data_dir) if data_dir else default_data_dir(os.geteuid(), environ)
    try:
        return (directory / "api.url").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _find(url: str, kinds: list[str], name: str) -> dict[str, Any] | None:
    with httpx2.Client(base_url=f"{url}/api/v1", timeout=ANSWER_S, trust_env=False) as api:
        for kind in kinds:
            answer = _get(api, url, f"/{KINDS[kind]}/{_quoted(name)}/why")
            if answer.status_code != httpx2.codes.NOT_FOUND:
                return _read(answer, url)
    return None


def _get(api: httpx2.Client, url: str, path: str) -> httpx2.Response:
    try:
        return api.get(path)
    except (httpx2.TransportError, httpx2.InvalidURL) as exc:
        raise VolantError(f"cannot reach the daemon at {url}: {exc}. Is it running? Use --url or VOLANT_URL.") from None


def _read(answer: httpx2.Response, url: str) -> dict[str, Any]:
    try:
        body: dict[str, Any] = answer.json()
        if answer.is_success and "chain" in body:
            return body
        said = body.get("error", "")
    except (ValueError, AttributeError):
        said = ""
    raise VolantError(f"cannot ask {url}: it answered {answer.status_code} {plain(said)}".rstrip())


def _when(link: Mapping[str, Any], at: datetime) -> str:
    """Since when it is so, and when something happens."""
    said = []
    if "since" in link:
        said.append(f"since {link['since']}")
    if "next_try_at" in link:
        in_s = (_instant(link["next_try_at"]) - at).total_seconds()
        said.append(f"next try {f'in {in_s:.0f} s' if in_s >= 1 else 'now'} (at {link['next_try_at']})")
    return f" [{link['reason']}{''.join(f'; {part}' for part in said)}]"


def _listed(title: str, found: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in found)] if found else []


def _turn(turn: Mapping[str, Any]) -> str:
    often = f" ({turn['times']} times)" if turn["times"] > 1 else ""
    return f"{turn['at']}  {turn['controller']}: {plain(turn['outcome'])}{often}"


def _event(event: Mapping[str, Any]) -> str:
    why_so = ": ".join(plain(event[part]) for part in ("reason", "message") if part in event)
    return f"{event['timestamp']}  {event['type']}  {why_so}".rstrip()


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _quoted(name: str) -> str:
    """One step of a path, whatever is in it: dots too, which would otherwise lead elsewhere."""
    return quote(name, safe="").replace(".", "%2E") or "%20"
