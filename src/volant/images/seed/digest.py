"""User data, digested for an init that is a shell: what it can do as files and calls, the rest as notes.

    #cloud-config ──▶ hostname, bootcmd, write_files, runcmd         #! ──▶ a script         MIME ──▶ each part of it

Total: whatever the text is, there is a digest. What is not understood is named in a note, by its key and never by its
value. Of the order it has this much: bootcmd, write_files, runcmd, scripts; all bootcmd come before all else.
"""

from __future__ import annotations

import email
import email.policy
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Final

from volant.images.seed import plain_yaml, write_files
from volant.images.seed.write_files import File

MAX_PARTS: Final = 32
MAX_NOTES: Final = 64

KNOWN: Final = ("hostname", "fqdn", "bootcmd", "write_files", "runcmd")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME: Final = re.compile(rf"(?=.{{1,64}}\Z){_LABEL}(?:\.{_LABEL})*")
_SAFE_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_MIME: Final = ("content-type:", "mime-version:")


@dataclass(slots=True)
class Digest:
    """What a guest's init is to do. `scripts` and `boot_scripts` are (name, content)."""

    hostname: str | None = None
    boot_scripts: list[tuple[str, str]] = field(default_factory=list)
    written: list[File] = field(default_factory=list)
    scripts: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def files(self, *, instance_id: str, hostname: str, env: Mapping[str, str]) -> dict[str, bytes]:
        """The directory volant/ of the seed. Every word of every call is quoted: nothing in them is ever run."""
        scripts = [*self.boot_scripts, *self.scripts]
        kinds = ["at_boot"] * len(self.boot_scripts) + ["once"] * len(self.scripts)
        runs = [(kind, str(number), name) for number, (kind, (name, _)) in enumerate(zip(kinds, scripts, strict=True))]
        writes = [("file", str(number), *file.words()) for number, file in enumerate(self.written)]
        boots = len(self.boot_scripts)
        notes = self.notes[:MAX_NOTES]
        if self.ignored:
            notes.append(f"not understood in cloud-config: {' '.join(self.ignored[:MAX_NOTES])}")
        names = [
            ("instance", instance_id),
            ("hostname", hostname),
            *(("env", f"{name}={value}") for name, value in env.items()),
            *(("note", note) for note in notes),
        ]
        return {
            "volant/names": _calls(names),
            "volant/steps": _calls([*runs[:boots], *writes, *runs[boots:]]),
            "volant/ignored": "".join(f"{key}\n" for key in self.ignored).encode(),
            **{f"volant/scripts/{number}": _bytes(content) for number, (_, content) in enumerate(scripts)},
            **{f"volant/files/{number}": file.content for number, file in enumerate(self.written)},
        }


def digested(user_data: str) -> Digest:
    """What our init can do of the user data."""
    digest = Digest()
    for text in _parts(user_data, digest):
        _take(text, digest)
    return digest


def is_hostname(value: object) -> bool:
    """Whether Linux and DNS take it as a host's name."""
    return isinstance(value, str) and _HOSTNAME.fullmatch(value) is not None


def _parts(text: str, digest: Digest) -> list[str]:
    if not text.lower().startswith(_MIME):
        return [text]
    if text.lower().count("boundary") > MAX_PARTS:
        digest.notes.append(f"user-data: more than {MAX_PARTS} parts in parts")
        return []
    try:
        # By the old policy: the newer one takes minutes over a header of 64 KiB that is made for it.
        message = email.message_from_bytes(text.encode("utf-8", "replace"), policy=email.policy.compat32)
        leaves = [part for part in message.walk() if not part.is_multipart()]
        contents = [_content(part) for part in leaves[:MAX_PARTS]]
    except Exception as error:  # noqa: BLE001  because the parser of the library promises nothing about what it raises
        digest.notes.append(f"user-data: its parts cannot be read ({type(error).__name__})")
        return []
    if len(leaves) > MAX_PARTS:
        digest.notes.append(f"user-data: more than {MAX_PARTS} parts")
    return contents


def _content(part: Message) -> str:
    raw = part.get_payload(decode=True)
    return raw.decode(part.get_content_charset("utf-8"), "replace") if isinstance(raw, bytes) else ""


def _take(text: str, digest: Digest) -> None:
    first = text.split("\n", 1)[0].strip()
    if first.startswith("#!"):
        _add_script(digest.scripts, "user-data", text, digest)
    elif first.split(" ")[0] == "#cloud-config":
        _take_config(text, digest)
    elif text.strip():
        kind = first.split()[0] if first.startswith("#") and _SAFE_KEY.fullmatch(first.split()[0][1:]) else "this kind"
        digest.notes.append(f"user-data: {kind} is not understood here")


def _take_config(text: str, digest: Digest) -> None:
    try:
        config = plain_yaml.read(text)
    except ValueError as error:
        digest.notes.append(f"user-data: {error}")
        return
    if not isinstance(config, dict):
        if config is not None:
            digest.notes.append("user-data: cloud-config is no mapping")
        return
    digest.ignored += [_shown(key) for key in config if key not in KNOWN]
    _take_hostname(config, digest)
    digest.written += write_files.read(config.get("write_files"), digest.notes, len(digest.written))
    for key, scripts in (("bootcmd", digest.boot_scripts), ("runcmd", digest.scripts)):
        commands = _commands(key, config.get(key), digest)
        if commands:
            _add_script(scripts, key, "#!/bin/sh\n" + "".join(f"{command}\n" for command in commands), digest)


def _take_hostname(config: Mapping[object, object], digest: Digest) -> None:
    asked = config.get("hostname") or config.get("fqdn")
    if asked is None:
        return
    if not is_hostname(asked):
        digest.notes.append("user-data: hostname is none")
        return
    digest.hostname = str(asked).partition(".")[0]


def _commands(key: str, asked: object, digest: Digest) -> list[str]:
    if asked is None:
        return []
    if not isinstance(asked, list):
        digest.notes.append(f"user-data: {key} is no list")
        return []
    commands = []
    for number, item in enumerate(asked, start=1):
        if isinstance(item, str):
            commands.append(item)
        elif isinstance(item, list) and all(isinstance(word, str | int | float) for word in item):
            commands.append(" ".join(shlex.quote(str(word)) for word in item))
        elif item is not None:
            digest.notes.append(f"user-data: item {number} of {key} is no command")
    return commands


def _add_script(scripts: list[tuple[str, str]], name: str, content: str, digest: Digest) -> None:
    if "\0" in content:
        digest.notes.append(f"user-data: {name} has a NUL in it")
    else:
        scripts.append((name, content))


def _shown(key: object) -> str:
    return key if isinstance(key, str) and _SAFE_KEY.fullmatch(key) else "(a key that is no name)"


def _calls(calls: Iterable[tuple[str, ...]]) -> bytes:
    return _bytes("".join(" ".join([call, *map(shlex.quote, words)]) + "\n" for call, *words in calls))


def _bytes(text: str) -> bytes:
    # YAML can write halves of characters, which no file can hold.
    return text.encode("utf-8", "replace")
