"""From files and options to what a create or a change sends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from volant.cli.ending import ERROR, Ended, status_of
from volant.cli.terminal import plain

if TYPE_CHECKING:
    from volant.manifests import Said

STDIN = "-"


def read(file: str) -> Said:
    """The one object of a file of YAML or JSON, or of standard input, with the place of each of its parts.

    Raises Ended with every flaw, as file:line:column.
    """
    from volant.cli.saying import refuse
    from volant.manifests import read

    text = sys.stdin.buffer.read() if file == STDIN else b""
    if _is_json(text):
        return _of_json(text.decode())
    reading = read([file], lambda: text)
    refuse(reading.flaws)
    if len(reading.said) != 1:
        raise Ended(f"cannot use {plain(file)}: expected one object, not {len(reading.said)}", ERROR)
    return reading.said[0]


def document(file: str) -> dict[str, Any]:
    """The value of `read`."""
    return read(file).value


def spoken(file: str | None) -> Said | None:
    """What the file says of an object that is to be made. Raises Ended for a manifest, which an apply makes."""
    if file is None:
        return None
    said = read(file)
    if {"kind", "spec"} <= said.value.keys():
        again = f"`volant apply -f {plain(file)} --set NAME` makes what it says"
        raise Ended(f"cannot create from {plain(file)}: it is a manifest. {again}", ERROR)
    return said


@contextmanager
def placed(said: Said | None) -> Iterator[None]:
    """What the daemon refuses of this body, at the lines of the file where it stands."""
    from volant.cli.saying import refuse
    from volant.client import ApiError

    try:
        yield
    except ApiError as error:
        if said is None or not error.fields:
            raise
        from volant.manifests import server_flaws

        fields = [{**field, "path": f"/objects/0{field.get('path', '')}"} for field in error.fields]
        try:
            refuse(server_flaws([said], fields))
        except Ended as ended:
            raise Ended(ended.message, status_of(error)) from error


def body_of(
    said: dict[str, Any], fields: tuple[str, ...], below: dict[str, Any] | None = None, **parts: Any
) -> dict[str, Any]:
    """The body of a create: `below`, and over it what the options say. `parts` are further ones of the config.

    UsageError without a name or a plugin.
    """
    parts["resources"] = {key: said[key] for key in ("vcpu", "memory_mb") if said[key] is not None}
    parts["env"] = pairs(said["env"], "a variable")
    config = {key: value for key, value in parts.items() if value}
    given = {key: said[key] for key in fields if said[key] is not None}
    labels = pairs(said["label"], "a label")
    above = {**given, **({"config": config} if config else {}), **({"labels": labels} if labels else {})}
    body = _over(below or {}, above)
    if not body.get("name") or not body.get("plugin"):
        raise click.UsageError("say at least NAME and --plugin, or -f FILE.")
    return body


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def pairs(words: tuple[str, ...], what: str) -> dict[str, str]:
    """`KEY=VALUE` words. UsageError for one that is none."""
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise click.UsageError(f"{what} is said as NAME=VALUE, not {wrong[0]!r}.")
    return dict(word.split("=", 1) for word in words)


def patch_of(
    changes: tuple[str, ...], unset: tuple[str, ...], patch: dict[str, Any], is_text: Callable[[str], bool]
) -> dict[str, Any]:
    """A merge patch: that of a file, and over it `PATH=VALUE` words and paths that are to be null.

    A value is JSON where it is some and text where it is not, or where `is_text` of its path. UsageError for none.
    """
    for path, text in pairs(changes, "a change").items():
        _put(patch, path, text if is_text(path) else _parsed(text))
    for path in unset:
        _put(patch, path, None)
    if not patch:
        raise click.UsageError("say what to change: PATH=VALUE, --unset PATH or -f FILE.")
    return patch


def _put(patch: dict[str, Any], path: str, value: Any) -> None:
    # There are dots in the keys of labels.
    *steps, last = path.split(".", 1) if path.startswith("labels.") else path.split(".")
    for step in steps:
        inner = patch.setdefault(step, {})
        if not isinstance(inner, dict):
            raise click.UsageError(f"{path} is said twice, once as a part of itself.")
        patch = inner
    patch[last] = value


def _parsed(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_json(text: bytes) -> bool:
    """JSON is YAML but for some of its escapes, and standard input has no name that tells them apart."""
    import json

    try:
        return isinstance(json.loads(text.decode()), dict)
    except ValueError:
        return False


def _of_json(text: str) -> Said:
    from volant.cli.saying import refuse
    from volant.manifests import Flaw, Said, Unreadable
    from volant.manifests.jsontext import document

    try:
        return Said("<stdin>", *document(text))
    except Unreadable as error:
        refuse([Flaw("<stdin>", error.place, "", error.message)])
        raise
