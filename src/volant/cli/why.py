"""`volant why`: why something is not ready, as the API tells it, for people.

Exit status: 0 it is ready; 1 not yet, or the daemon cannot be asked; 2 it will not be unless somebody acts; 3 there is
no such object; 64 the command line is wrong. Scripts may lean on it, and may take `--json` instead of the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click
import msgspec

from volant.cli.ending import GONE
from volant.cli.objects import completed_objects, one_object
from volant.cli.options import reaching
from volant.cli.terminal import plain

KINDS: Mapping[str, str] = {"vm": "vms", "deployment": "deployments", "plugin": "plugins"}
STATUS: Mapping[str, int] = {"ready": 0, "by_itself": 1, "not_by_itself": 2}

OUTLOOKS: Mapping[str, str] = {
    "ready": "It is ready.",
    "by_itself": "Nobody has to do anything: it is tried again as long as it takes.",
    "not_by_itself": "Waiting does not mend it.",
}


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND/]NAME", shell_complete=completed_objects)
@click.option("--json", "as_json", is_flag=True, help="The answer of the API as it is.")
@reaching
def why(url: str, words: tuple[str, ...], *, as_json: bool) -> None:
    """Say why a VM, deployment or plugin is not ready, and when it is tried again.

    Without a kind, the first object of that name: a VM, else a deployment, else a plugin.

    Exit status: 0 ready, 1 not yet (or no daemon), 2 not unless somebody acts, 3 no such object, 64 wrong usage.
    """
    kinds, name = _asked(words)
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
    noun, name = one_object(words)
    return list(KINDS) if noun is None else [noun.word], name


def _find(url: str, kinds: list[str], name: str) -> dict[str, Any] | None:
    from volant.client import ApiError, Client

    with Client(url) as client:
        for kind in kinds:
            try:
                found = getattr(client, KINDS[kind]).why(name)
            except ApiError as error:
                if not error.code.endswith("_not_found"):
                    raise
            else:
                said: dict[str, Any] = msgspec.to_builtins(found)
                return said
    return None


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
