"""How an image wants to be run: entrypoint, arguments, environment, user, directory, stop signal, ports.

Words are kept as they are; what cannot be said to a program at all (NUL) is refused. A user is a name until
`user_ids` looks it up, in the image's own `etc/passwd` and never in the host's.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from volant.errors import ArtifactRefused
from volant.images.oci.manifest import is_digest, parse_object
from volant.images.oci.paths import read_inside

_MAX_WORDS: Final = 1024
_MAX_ID: Final = (1 << 32) - 2
_PORT: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?")
_MAX_TABLE_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class OciConfig:
    """What the image says about its process. `ports` are its TCP ports, in order."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    cwd: str = "/"
    stop_signal: str | None = None
    ports: tuple[int, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """What is run when nothing else is asked for."""
        return self.entrypoint + self.cmd


def parse_config(data: bytes) -> tuple[OciConfig, tuple[str, ...]]:
    """The config, and the digest of each layer once it is unpacked. Raises ArtifactRefused."""
    document = parse_object(data, "an image's config")
    if (document.get("os"), document.get("architecture")) != ("linux", "amd64"):
        raise ArtifactRefused("cannot use an image: it is not one for linux/amd64")
    said = document.get("config")
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(is_digest(item) for item in diff_ids):
        raise ArtifactRefused("cannot use an image: its config does not say what its layers are")
    return _process(said if isinstance(said, dict) else {}), tuple(diff_ids)


def _process(said: dict[str, Any]) -> OciConfig:
    cwd = _word(said.get("WorkingDir") or "/")
    return OciConfig(
        entrypoint=_words(said.get("Entrypoint")),
        cmd=_words(said.get("Cmd")),
        env=_environment(_words(said.get("Env"))),
        user=_word(said.get("User") or ""),
        cwd=cwd if cwd.startswith("/") else f"/{cwd}",
        stop_signal=_signal(said.get("StopSignal")),
        ports=_ports(said.get("ExposedPorts")),
    )


def _words(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MAX_WORDS:
        raise ArtifactRefused("cannot use an image: its config has something else where a list of words belongs")
    return tuple(_word(item) for item in value)


def _word(value: object) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > 1 << 17:
        raise ArtifactRefused("cannot use an image: its config has a word that no program can be given")
    return value


def _environment(words: tuple[str, ...]) -> dict[str, str]:
    # Of a name that is said twice the last one holds, in the place of the first.
    pairs = (word.partition("=") for word in words)
    return {name: value for name, _, value in pairs if name}


def _signal(value: object) -> str | None:
    if value in (None, ""):
        return None
    text = str(value).upper()
    try:
        if text.isdecimal():
            return signal.Signals(int(text)).name
        return signal.Signals[text if text.startswith("SIG") else f"SIG{text}"].name
    except (KeyError, ValueError):
        raise ArtifactRefused(f"cannot use an image: there is no signal {text[:40]!r} to stop it with") from None


def _ports(value: object) -> tuple[int, ...]:
    ports: set[int] = set()
    for text in value if isinstance(value, dict) else ():
        found = _PORT.fullmatch(str(text))
        low = int(found[1]) if found else 0
        high = int(found[2] or low) if found else 0
        if found is None or not 0 < low <= high < 65536 or high - low > 100:
            raise ArtifactRefused(f"cannot use an image: it exposes {str(text)[:40]!r}, which is no port")
        if found[3] in (None, "tcp"):
            ports.update(range(low, high + 1))
    return tuple(sorted(ports))


def user_ids(tree: Path, user: str) -> tuple[int, int]:
    """`USER[:GROUP]`, each a name or a number, as (uid, gid); "" is root. Raises ArtifactRefused for unknown names.

    A user by name or number that `etc/passwd` knows brings its group; a number that it does not know has group 0.
    """
    name, _, group = user.partition(":")
    passwd = _table(tree, "etc/passwd")
    row = next((row for row in passwd if len(row) > 3 and name and name in (row[0], row[2])), None)
    uid = _number(row[2] if row else name or "0", f"user {name!r}")
    gid = _number(row[3], "group of the user") if row else 0
    if group:
        groups = _table(tree, "etc/group")
        found = next((row for row in groups if len(row) > 2 and group in (row[0], row[2])), None)
        gid = _number(found[2] if found else group, f"group {group!r}")
    return uid, gid


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > _MAX_ID:
        raise ArtifactRefused(f"cannot use an image: it does not know the {what[:60]}")
    return int(text)


def _table(tree: Path, path: str) -> list[list[str]]:
    content = read_inside(tree, path, _MAX_TABLE_BYTES)
    return [line.split(":") for line in (content or b"").decode(errors="replace").splitlines()]
