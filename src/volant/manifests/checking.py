"""What is wrong with what was said, in the words of the server and with the places of the files.

    objects ──forms of model.apply──▶ documents, or every flaw of every one
    {"path": "/objects/3/spec/replicas", ...} of the server ──flaw──▶ file:line:column

Only what can be known without the daemon: which plugins there are, which ports are taken, what may be changed of an
object that exists, is the server's to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from volant.manifests.flaws import Flaw
from volant.manifests.marks import steps_of
from volant.manifests.reading import Said
from volant.model.apply.documents import FORMS, PluginDocument
from volant.model.document import spelt_out
from volant.model.misfits import FieldError, converted, field_error
from volant.model.plugin import Manifest

_AT_KEY = ("unknown field", "given twice")


def check(said: Sequence[Said]) -> list[Flaw]:
    """Every mistake of every object, in their order."""
    flaws = [_placed(one, error) for one in said for error in mistakes(one.value)]
    return sorted([*flaws, *_twice(said)], key=_order({one.file: n for n, one in reversed(list(enumerate(said)))}))


def mistakes(value: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with one object by itself."""
    kind = value.get("kind")
    form = FORMS.get(kind) if isinstance(kind, str) else None
    if form is None:
        said = "missing" if "kind" not in value else f"expected one of: {', '.join(sorted(FORMS))}{_meant(kind)}"
        return [field_error("/kind", said)]
    found = converted(dict(value), form, "")
    if isinstance(found, list):
        return found
    return _of_manifest(found) if isinstance(found, PluginDocument) else []


def server_flaws(said: Sequence[Said], fields: Iterable[Mapping[str, str]]) -> list[Flaw]:
    """The server's mistakes of an apply whose `objects` were these, each where it stands in a file."""
    return [_from_server(said, error) for error in fields]


def _from_server(said: Sequence[Said], error: Mapping[str, str]) -> Flaw:
    path, message = error.get("path", ""), error.get("message", "")
    steps = steps_of(path)
    if len(steps) > 1 and steps[0] == "objects" and steps[1].isdecimal() and int(steps[1]) < len(said):
        return _placed(said[int(steps[1])], field_error(path.removeprefix(f"/objects/{steps[1]}"), message))
    return Flaw("the daemon", None, path, message)


def _placed(one: Said, error: FieldError) -> Flaw:
    of_key = error["message"].startswith(_AT_KEY)
    return Flaw(one.file, one.marks.place(steps_of(error["path"]), of_key=of_key), error["path"], error["message"])


def _meant(kind: Any) -> str:
    # Whatever its case: `vm` is nearer to VM than letters tell.
    known = {form.lower(): form for form in FORMS}
    near = get_close_matches(kind[:64].lower(), list(known), 1) if isinstance(kind, str) else []
    return f". Did you mean '{known[near[0]]}'?" if near else ""


def _of_manifest(document: PluginDocument) -> list[FieldError]:
    said = dict(document.spec)
    errors = [
        field_error(f"/spec/{key}", "unknown field: it is in metadata") for key in ("name", "labels") if key in said
    ]
    if not isinstance(said.pop("enabled", True), bool):
        errors.append(field_error("/spec/enabled", "expected true or false"))
    said = {key: value for key, value in said.items() if key not in ("name", "labels")}
    found = converted(spelt_out({**said, "name": document.metadata.name}), Manifest, "/spec")
    return errors + found if isinstance(found, list) else errors


def _twice(said: Sequence[Said]) -> list[Flaw]:
    keys = [(one.value.get("kind"), _name(one.value)) for one in said]
    times = Counter(key for key in keys if isinstance(key[0], str) and isinstance(key[1], str))
    return [
        _placed(one, field_error("/metadata/name", f"{kind} {name} is said more than once"))
        for one, (kind, name) in zip(said, keys, strict=True)
        if isinstance(kind, str) and isinstance(name, str) and times[kind, name] > 1
    ]


def _name(value: Mapping[str, Any]) -> Any:
    metadata = value.get("metadata")
    return metadata.get("name") if isinstance(metadata, dict) else None


def _order(files: Mapping[str, int]) -> Any:
    return lambda flaw: (files.get(flaw.file, 0), flaw.place or (0, 0))
