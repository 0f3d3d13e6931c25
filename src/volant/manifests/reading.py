"""Manifests from files, directories, standard input and the web.

    paths ──▶ texts ──yaml12 | jsontext──▶ documents, with a place for each part ──lists──▶ objects as they were said

A directory is read with everything below it, in the order of names; what begins with a dot is left out, and so is every
file that is not called *.yaml, *.yml or *.json. One file that cannot be read keeps no other from being read: whoever
asks gets what is there and every flaw, and must not take the first for the whole while there is one of the second.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from volant.errors import VolantError
from volant.manifests import jsontext, yaml12
from volant.manifests.flaws import Flaw, Unreadable
from volant.manifests.marks import Marks, Place

STDIN: Final = "-"
SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
MAX_BYTES: Final = 16 << 20
MAX_FILES: Final = 10_000
LIST: Final = "List"

# What YAML knows as unprintable, and what YAML 1.1 takes for the end of a line and 1.2 does not.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_URL: Final = re.compile(r"https?://")
_BOM: Final = b"\xef\xbb\xbf"


class Said(NamedTuple):
    """One object as a file says it, and where each part of it stands."""

    file: str
    value: dict[str, Any]
    marks: Marks


class Reading(NamedTuple):
    """What was read, and what could not be. `is_partial`: not one whole directory, and nothing else."""

    said: tuple[Said, ...]
    flaws: tuple[Flaw, ...]
    is_partial: bool
    files: tuple[str, ...]


def read(paths: Sequence[str], stdin: Callable[[], bytes], fetch: Callable[[str], bytes] | None = None) -> Reading:
    """Every manifest at these paths, in their order; `-` is standard input, and what begins as a URL is fetched."""
    opened = {STDIN: stdin}
    if fetch is not None:
        opened |= {path: partial(fetch, path) for path in paths if _URL.match(path)}
    flaws: list[Flaw] = []
    said: list[Said] = []
    files: list[str] = []
    for path in paths:
        try:
            found = [path] if path in opened else list(_files(Path(path)))
        except OSError as error:
            flaws.append(_unopened(path, error))
            continue
        for file in found:
            files.append(file)
            _read_one(file, opened.get(file) or partial(_bytes, file), said, flaws)
    is_whole = len(paths) == 1 and paths[0] not in opened and Path(paths[0]).is_dir()
    return Reading(tuple(said), tuple(flaws), not is_whole, tuple(files))


def fingerprint(path: str) -> str:
    """A digest of all that a reading of this directory would read. Raises OSError."""
    found = hashlib.sha256()
    for file in _files(Path(path)):
        content = _bytes(file)
        found.update(f"{len(os.fsencode(file))} {len(content)} ".encode() + os.fsencode(file) + content)
    return found.hexdigest()


def read_text(text: str, file: str) -> Iterator[Said]:
    """The objects of one text. Raises Unreadable."""
    documents = [jsontext.document(text)] if file.endswith(".json") and text.strip() else _yaml(text)
    for value, marks in documents:
        yield from _objects(value, marks, file)


def _yaml(text: str) -> Iterator[tuple[Any, Marks]]:
    if found := _UNPRINTABLE.search(text):
        at = found.start()
        place = Place(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        raise Unreadable(f"the character U+{ord(found[0]):04X} has to be written as an escape", place)
    yield from yaml12.documents(text)


def _read_one(file: str, opened: Callable[[], bytes], said: list[Said], flaws: list[Flaw]) -> None:
    shown = "<stdin>" if file == STDIN else file
    try:
        # One at a time: what stands before a mistake is there, so that it can be checked too.
        for one in read_text(_text(opened()), shown):
            said.append(one)
    except Unreadable as error:
        flaws.append(Flaw(shown, error.place, "", error.message))
    except VolantError as error:
        flaws.append(Flaw(shown, None, "", error.message))
    except OSError as error:
        flaws.append(_unopened(shown, error))


def _bytes(file: str) -> bytes:
    # Not a pipe or a device: a directory of manifests could hold one by mistake, and reading it would never end.
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as opened:
        return opened.read(MAX_BYTES + 1)


def _text(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"larger than {MAX_BYTES >> 20} MiB")
    raw = raw.removeprefix(_BOM)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        at = Place(before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        raise Unreadable("not UTF-8", at) from None


def _files(path: Path) -> Iterator[str]:
    if not path.is_dir():
        path.stat()
        yield str(path)
        return
    count = 0
    for directory, below, names in os.walk(path, onerror=_raised):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in below:
            # Followed it may never end; left out silently, what is behind it would be pruned.
            if Path(directory, name).is_symlink():
                raise OSError(f"{name} in it is a link to a directory, which is not followed")
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix in SUFFIXES:
                count += 1
                if count > MAX_FILES:
                    raise OSError(f"more than {MAX_FILES} files")
                yield str(Path(directory, name))


def _raised(error: OSError) -> None:
    # A directory that cannot be looked into holds manifests that are not there now: the whole is not known.
    raise error


def _objects(value: Any, marks: Marks, file: str) -> Iterator[Said]:
    if not isinstance(value, dict):
        raise Unreadable("a manifest has to be an object with kind, metadata and spec", marks.value)
    if value.get("kind") != LIST:
        yield Said(file, value, marks)
        return
    for key in value:
        if key not in ("kind", "metadata", "items"):
            raise Unreadable(f"unknown field {key[:64]!r} of a List", marks.place([key], of_key=True))
    items = value.get("items")
    if not isinstance(items, list):
        raise Unreadable("a List has to have 'items'", marks.place(["items"]))
    for index, item in enumerate(items):
        yield from _objects(item, marks.parts["items"].parts[str(index)], file)


def _unopened(path: str, error: OSError) -> Flaw:
    return Flaw(path, None, "", f"cannot be read: {error.strerror or error}")
