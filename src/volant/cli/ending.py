"""How a command ends: one sentence that says what to do, and an exit status that scripts may lean on.

0 done | 1 error | 2 failed for good | 3 gone, or not found | 4 timed out | 64 wrong usage | 130 interrupted
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from volant.cli.terminal import plain
from volant.errors import VolantError

if TYPE_CHECKING:
    from volant.client import ApiError

DONE = 0
ERROR = 1
FAILED = 2
GONE = 3
TIMED_OUT = 4
USAGE = 64
"""What sysexits.h calls a wrong command line: click's own 2 has a meaning here."""
INTERRUPTED = 130

_SAYS_MORE = {
    "console_in_use": "`volant console {name} --force` takes their place.",
    "vm_already_running": "`volant vms restart {name}` boots it again.",
    "no_such_revision": "`volant deployments rollout history {name}` shows those that are.",
    "set_not_found": "`volant sets list` shows which there are.",
    "rollout_paused": "`volant deployments rollout resume {name}` goes on with it.",
}
"""What helps with an error, by its code."""
_OF_A_SET = {"no_such_revision": "`volant sets get {set}` shows those that are."}
"""The same, where it is a set that the error is about."""

_HOW = {"timeout": TIMED_OUT, "failed": FAILED, "stopping": ERROR}
_NOUNS = {"vm": "vms", "deployment": "deployments", "plugin": "plugins"}


class Ended(click.ClickException):
    """The end of a command, with its status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # because click reads it of the instance


@contextmanager
def explained(url: str) -> Iterator[None]:
    """What the daemon at `url` refuses inside, as a sentence and an exit status."""
    from volant.client import ApiError, NoAnswer, NotReached

    try:
        yield
    except NotReached as error:
        raise Ended(f"{plain(error.message).rstrip('.')}. {_ask_why(error)}".rstrip(), _HOW[error.how]) from error
    except NoAnswer as error:
        raise Ended(f"{plain(error.message).rstrip('.')}. {_START}", ERROR) from error
    except ApiError as error:
        raise Ended("\n".join(_lines(url, error)), status_of(error)) from error


_START = "Is it running? Start one with `volant serve`, or say where it is with --url or VOLANT_URL."


def status_of(error: ApiError) -> int:
    """The exit status for what the API said."""
    if error.code == "wait_timeout":
        return TIMED_OUT
    if error.code == "not_volant":
        return ERROR
    if error.status == 404 or error.code.endswith(("_deleting", "_deleted")):
        return GONE
    return FAILED if error.code.endswith("_failed") or error.code == "vm_started_again" else ERROR


def standing(error: ApiError) -> str:
    """How it stands with what did not come in time, in a sentence; nothing for any other error."""
    status = error.details.get("status")
    if error.code != "wait_timeout" or not status:
        return ""
    why = error.details.get("message") or error.details.get("reason")
    return plain(f"It is {str(status).replace('_', ' ')}{f': {why}' if why else ''}")


def _ask_why(error: VolantError) -> str:
    name = plain(error.details.get("name", ""))
    return f"`volant why {name}` says more." if name else ""


def _lines(url: str, error: ApiError) -> Iterator[str]:
    name = str(error.details.get("name", ""))
    yield plain(f"{error.message}{f': {name}' if name and name not in error.message else ''}")
    for field in _untold(error):
        yield plain(f"  {field.get('path', '')}: {field.get('message', '')}")
    yield from _held_by(error)
    if stands := standing(error):
        yield stands
    hint = _hint(url, error, name)
    if hint:
        yield hint


def _untold(error: ApiError) -> list[dict[str, str]]:
    """The fields, unless the message has said all there is: that one field is wrong, and how."""
    match error.fields:
        case [one] if one.get("path", "") in error.message and one.get("message", "") in error.message:
            return []
    return error.fields


def _held_by(error: ApiError) -> Iterator[str]:
    """Who is in the way: `plugin_in_use` names them."""
    for noun in ("deployments", "vms"):
        names = error.details.get(noun)
        if isinstance(names, list) and names:
            yield plain(f"  {noun}: {', '.join(map(str, names))}")


def _hint(url: str, error: ApiError, name: str) -> str:
    kind = error.code.partition("_")[0]
    if error.code == f"{kind}_not_found" and kind in _NOUNS:
        return _near(url, _NOUNS[kind], name)
    if error.code == "plugin_in_use":
        return "Delete them first."
    if error.code == f"{kind}_already_exists" and kind in _NOUNS:
        return f"`volant {_NOUNS[kind]} get {plain(name)}` shows it. Take another name, or delete it first."
    if error.code in _SAYS_MORE:
        return _more(error, name)
    if status_of(error) in (FAILED, TIMED_OUT):
        return _ask_why(error)
    if error.code == "not_volant":
        return f"Is a Volant daemon at {url}? Say the address without a path."
    return f"The daemon's log calls this {plain(error.request_id)}." if error.status >= 500 else ""


def _more(error: ApiError, name: str) -> str:
    """Names the command that says more; nothing where the object it takes is not known."""
    of_set = plain(error.details.get("set", ""))
    if of_set and error.code in _OF_A_SET:
        return _OF_A_SET[error.code].format(set=of_set)
    hint = _SAYS_MORE[error.code]
    return hint.format(name=plain(name)) if name or "{name}" not in hint else ""


def _near(url: str, noun: str, name: str) -> str:
    """Names like the one that is not there."""
    from difflib import get_close_matches

    try:
        names = names_of(url, noun)
    except VolantError:
        return ""
    near = get_close_matches(name, names, 3)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return (
        f"`volant {noun} list` shows which there are." if names else f"There are no {noun.replace('vm', 'VM')} at all."
    )


def names_of(url: str, noun: str, *, timeout_s: float = 5.0) -> list[str]:
    """The names of all objects of a kind."""
    from volant.client import Client
    from volant.client.applying import list_sets, list_syncs

    with Client(url, timeout_s=timeout_s, repeats=0) as client:
        if noun == "sets":
            return [one.name for one in client.send(list_sets())]
        if noun == "syncs":
            return [one.name for one in client.send(list_syncs())]
        return [one.name for one in getattr(client, noun).list(sort="name")]
