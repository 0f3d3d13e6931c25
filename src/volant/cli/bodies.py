"""From files and options to what a create or a change sends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from volant.errors import Invalid


def document(file: str) -> dict[str, Any]:
    """The JSON object of a file, or of standard input where it is `-`. Raises Invalid."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot read {'standard input' if file == '-' else file} as JSON: {error}") from error
    if not isinstance(found, dict):
        raise Invalid(f"cannot use {file}: expected one JSON object")
    return found


def body_of(said: dict[str, Any], fields: tuple[str, ...], **parts: Any) -> dict[str, Any]:
    """The body of a create: that of `--file`, and over it what the options say. `parts` are further ones of the config.

    UsageError without a name or a plugin.
    """
    body = document(said["file"]) if said["file"] else {}
    parts["resources"] = {key: said[key] for key in ("vcpu", "memory_mb") if said[key] is not None}
    parts["env"] = pairs(said["env"], "a variable")
    config = {key: value for key, value in parts.items() if value}
    given = {key: said[key] for key in fields if said[key] is not None}
    labels = pairs(said["label"], "a label")
    body = _over(body, {**given, **({"config": config} if config else {}), **({"labels": labels} if labels else {})})
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
