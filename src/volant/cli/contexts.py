"""Which daemon is asked: the named addresses that somebody keeps in a file, and what beats what.

    --url ▸ --context ▸ --data-dir ▸ VOLANT_URL ▸ VOLANT_CONTEXT ▸ VOLANT_DATA_DIR ▸ the current context
          ▸ the daemon that says its address in the data directory of this user ▸ http://127.0.0.1:8080

The file is `$XDG_CONFIG_HOME/volant/contexts.json`. It is replaced as a whole, under a lock of its directory: nobody
ever reads half of one, and of two commands at once neither undoes what the other did. Only its owner may read it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from volant.cli.ending import ERROR, Ended
from volant.cli.terminal import plain

DEFAULT = "http://127.0.0.1:8080"
FILE = "contexts.json"


class Daemon(NamedTuple):
    """An address, and what it was taken from. `is_kept`: nobody said so on this command line."""

    url: str
    origin: str
    is_kept: bool = False


class Contexts(NamedTuple):
    """What is in the file: addresses by name, and the name of the one that is taken when none is said."""

    urls: Mapping[str, str]
    current: str | None

    def url(self, name: str, origin: str) -> str:
        """The address of a context. Raises Ended for one that is not there."""
        if name in self.urls:
            return self.urls[name]
        from difflib import get_close_matches

        near = get_close_matches(name, self.urls, 3)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`volant context list` shows which there are."
        raise Ended(f"there is no context {plain(name)}, which {origin} asks for. {hint}", ERROR)


def daemon(
    environ: Mapping[str, str], *, url: str | None = None, context: str | None = None, data_dir: str | None = None
) -> Daemon:
    """The daemon to ask. The arguments are options; raises Ended for a context or a daemon that is not there."""
    found = _said(environ, url, context, data_dir)
    return found._replace(url=found.url.rstrip("/"))


def _said(environ: Mapping[str, str], url: str | None, context: str | None, data_dir: str | None) -> Daemon:
    if url:
        return Daemon(url, "--url")
    if context:
        return Daemon(read(environ).url(context, "--context"), f"--context {context}")
    if data_dir:
        return _announced_by(data_dir, "--data-dir")
    if environ.get("VOLANT_URL"):
        return Daemon(environ["VOLANT_URL"], "VOLANT_URL", is_kept=True)
    name = environ.get("VOLANT_CONTEXT")
    if name:
        return Daemon(read(environ).url(name, "VOLANT_CONTEXT"), f"VOLANT_CONTEXT={name}", is_kept=True)
    return _kept(environ)


def _kept(environ: Mapping[str, str]) -> Daemon:
    """By what was kept somewhere: in a data directory that the environment names, in the file, where a daemon runs."""
    directory = environ.get("VOLANT_DATA_DIR")
    if directory:
        return _announced_by(directory, "VOLANT_DATA_DIR")._replace(is_kept=True)
    kept = read(environ)
    if kept.current is not None:
        return Daemon(kept.url(kept.current, FILE), f"the current context, {kept.current}", is_kept=True)
    from volant.config import default_data_dir

    return _announced(str(default_data_dir(os.geteuid(), environ)), "it runs here") or Daemon(DEFAULT, "the default")


def _announced_by(directory: str, origin: str) -> Daemon:
    """Whoever says a directory means the daemon of that one: none there is no reason to ask another. Raises Ended."""
    found = _announced(directory, origin)
    if found is None:
        where = plain(directory)
        raise Ended(
            f"cannot find a daemon: none says its address in {where}. Start it with `volant serve --data-dir {where}`, "
            "or say --url",
            ERROR,
        )
    return found


def _announced(directory: str, origin: str) -> Daemon | None:
    try:
        with open(os.path.join(directory, "api.url"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
            url = file.read().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Daemon(url, origin) if url else None


def path(environ: Mapping[str, str]) -> str:
    """Where the file is, whether it is there or not; where it is a link, what that leads to."""
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")  # noqa: PTH118
    return os.path.realpath(os.path.join(home, "volant", FILE))  # noqa: PTH118


def read(environ: Mapping[str, str]) -> Contexts:
    """What is kept. Nothing where there is no file; Ended for one that cannot be read."""
    where = path(environ)
    try:
        with open(where, "rb") as file:  # noqa: PTH123  pathlib takes longer to load than this file to read
            found = _decoded(file.read())
    except FileNotFoundError:
        return Contexts({}, None)
    except (OSError, ValueError) as error:
        raise Ended(f"cannot read the contexts in {where}: {error}. Mend it, or remove it", ERROR) from error
    return found


def _decoded(text: bytes) -> Contexts:
    """Raises ValueError."""
    import msgspec

    said = msgspec.json.decode(text, type=dict[str, Any])
    contexts = msgspec.convert(said.get("contexts", {}), dict[str, dict[str, str]])
    for name, one in contexts.items():
        if not one.get("url"):
            raise ValueError(f"the context {name!r} has no url")
    current = msgspec.convert(said.get("current"), str | None)
    return Contexts({name: one["url"] for name, one in contexts.items()}, current)


def change(environ: Mapping[str, str], step: Callable[[Contexts], Contexts]) -> None:
    """Make of the file what `step` says. Raises Ended, and whatever `step` raises; then nothing is changed."""
    where = path(environ)
    try:
        os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
        with _locked(os.path.dirname(where)):  # noqa: PTH120
            _replace(where, _encoded(step(read(environ))))
    except OSError as error:
        raise Ended(f"cannot write the contexts in {where}: {error.strerror or error}", ERROR) from error


def _encoded(kept: Contexts) -> bytes:
    import msgspec

    said = {"current": kept.current, "contexts": {name: {"url": url} for name, url in sorted(kept.urls.items())}}
    return msgspec.json.format(msgspec.json.encode(said), indent=2) + b"\n"


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    import fcntl

    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _replace(where: str, content: bytes) -> None:
    """Whoever reads finds the old file or the new one, also after the machine went down in between."""
    beside = f"{where}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside)  # noqa: PTH108  left by one that was killed: the lock is ours
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, where)  # noqa: PTH105
