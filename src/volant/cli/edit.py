"""`edit`: the manifest of one object in an editor, and what was made of it put back.

    manifest, revision ──▶ a file ──editor──▶ read again ──PUT, If-Match──▶ done: the file goes | refused: it stays

What the object does meanwhile is nobody's loss: it is put back as long as its manifest is the one that was shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from volant.cli import options
from volant.cli.bodies import placed, read
from volant.cli.ending import ERROR, Ended
from volant.cli.nouns import Noun
from volant.cli.terminal import plain
from volant.errors import VolantError

if TYPE_CHECKING:
    from pathlib import Path

    from volant.client import Client
    from volant.manifests import Said

TRIES = 5
"""How often it is put back while the object only reports of itself."""


def editing(noun: Noun) -> click.Command:
    """`edit` of one object."""

    @options.reaching
    def run(url: str, name: str, shape: str | None, *, force: bool) -> None:
        from volant.client import Client

        with Client(url) as client:
            found = _edited(client, noun, name, force=force)
        if shape and found is not None:
            from volant.cli.shapes import show_one

            show_one(found, shape)
        elif not shape:
            click.echo(f"{noun.word} {plain(name)} {'unchanged' if found is None else 'edited'}")

    added = (
        options.name(noun.plural),
        click.option("--force", is_flag=True, help="Take over fields that other managers say otherwise."),
        options.output("json", "yaml", "name", text=f"Print the {noun.word} instead of a sentence."),
    )
    for option in reversed(added):
        run = option(run)
    text = f"Change the manifest of a {noun.word} in an editor: that of VISUAL or EDITOR."
    short = "Change the manifest in an editor."
    return click.command("edit", help=text.replace(" vm ", " VM "), short_help=short)(run)


def _edited(client: Client, noun: Noun, name: str, *, force: bool) -> Any:
    """The object as it is then; None when there was nothing to do. Raises Ended, with where the text was left."""
    before, revision = _shown(client, noun, name)
    path = _file(noun, name, before)
    _opened(path)
    try:
        said = read(str(path))
        found = None if said.value == before else _put(client, noun, name, said, before, revision, force=force)
    except (click.ClickException, VolantError) as error:
        status = error.exit_code if isinstance(error, click.ClickException) else ERROR
        raise Ended(f"{error.message}\nWhat you wrote is in {path}", status) from error
    path.unlink()
    return found


def _opened(path: Path) -> None:
    """Return when the editor has ended well. Raises Ended, and the file is kept only if something was written."""
    before = path.read_bytes()
    try:
        click.edit(filename=str(path))
    except (click.ClickException, ValueError) as error:  # ValueError: a quote without its end
        told = error.message if isinstance(error, click.ClickException) else str(error)
        how = "Set EDITOR to one that can be started" if _is_missing(error) else "Nothing was changed"
        if path.read_bytes() == before:
            path.unlink()
        else:
            how = f"What you wrote is in {path}"
        raise Ended(f"cannot edit: {plain(told)}. {how}", ERROR) from error


def _is_missing(error: Exception) -> bool:
    return isinstance(error, ValueError) or isinstance(error.__cause__, OSError)


def _shown(client: Client, noun: Noun, name: str) -> tuple[dict[str, Any], int]:
    """Its manifest, and a revision from before it was read."""
    from volant.client.applying import list_manifests

    revision = noun.of(client).get(name).revision
    found = client.send(list_manifests(kind=noun.kind, name=name))
    if not found:
        raise Ended(f"cannot edit {noun.word} {plain(name)}: it is being deleted", ERROR)
    return found[0], revision


def _file(noun: Noun, name: str, manifest: dict[str, Any]) -> Path:
    """A file that only its owner can read: variables may be secrets."""
    import os
    import tempfile
    from pathlib import Path

    from volant.manifests import written

    handle, path = tempfile.mkstemp(prefix=f"volant-{noun.word}-{name}-", suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(written([manifest]))
    return Path(path)


def _put(
    client: Client, noun: Noun, name: str, said: Said, before: dict[str, Any], revision: int, *, force: bool
) -> Any:
    from volant.client import ApiError

    for _ in range(TRIES):
        try:
            with placed(said):
                return noun.of(client).put(name, said.value, revision=revision, force=force)
        except ApiError as error:
            if error.code != "precondition_failed":
                raise
        now, revision = _shown(client, noun, name)
        if now != before:
            break
    raise Ended(f"cannot put {noun.word} {plain(name)} back: somebody has changed it meanwhile. Edit it again", ERROR)
