"""`write_files` of a cloud-config: the files, decoded and bounded."""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final

MAX_FILES: Final = 256
MAX_BYTES: Final = 1 << 20
"""Of all files of one part together, decoded: gzip can say a lot in few words."""

_OWNER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?")
_GZIP: Final = ("gz", "gzip")
_BASE64: Final = ("b64", "base64")
_ENCODINGS: Final = {
    **dict.fromkeys(_BASE64, (True, False)),
    **dict.fromkeys(_GZIP, (False, True)),
    **{f"{outer}+{inner}": (True, True) for outer in _GZIP for inner in _BASE64},
    "text/plain": (False, False),
}


@dataclass(frozen=True, slots=True)
class File:
    """One file of the guest. `path` is absolute; `owner` is empty for root."""

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = ""
    append: bool = False

    def words(self) -> tuple[str, ...]:
        """As our init's call `file` takes it."""
        return f"{self.mode:04o}", self.owner, "append" if self.append else "write", self.path


def read(asked: object, notes: list[str], before: int) -> list[File]:
    """The files that can be written. Of each other one a note says which item it is and why not."""
    if asked is None:
        return []
    if not isinstance(asked, list):
        notes.append("user-data: write_files is no list")
        return []
    files: list[File] = []
    left = MAX_BYTES
    for number, item in enumerate(asked, start=1):
        try:
            if len(files) + before >= MAX_FILES:
                raise ValueError(f"more than {MAX_FILES} files")
            files.append(_file(item, left))
            left -= len(files[-1].content)
        except ValueError as error:
            notes.append(f"user-data: item {number} of write_files: {error}")
    return files


def _file(item: Any, left: int) -> File:
    if not isinstance(item, dict):
        raise ValueError("no mapping")
    path = item.get("path")
    if not isinstance(path, str) or not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError("its path is no absolute path of a file")
    if "source" in item:
        raise ValueError("nothing is fetched (source)")
    owner = item.get("owner") or ""
    if owner and (not isinstance(owner, str) or _OWNER.fullmatch(owner) is None):
        raise ValueError("its owner is none")
    return File(path, _content(item, left), _mode(item.get("permissions")), owner, bool(item.get("append")))


def _mode(asked: object) -> int:
    if asked is None:
        return 0o644
    try:
        # An unquoted 0644 is a number already: YAML reads it as octal.
        mode = asked if isinstance(asked, int) else int(str(asked), 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise ValueError("its permissions are none")
    return mode


def _content(item: dict[Any, Any], left: int) -> bytes:
    given = item.get("content")
    data = given if isinstance(given, bytes) else str("" if given is None else given).encode("utf-8", "replace")
    encoding = str(item.get("encoding") or "text/plain").lower()
    if encoding not in _ENCODINGS:
        raise ValueError("its encoding is not known")
    in_base64, in_gzip = _ENCODINGS[encoding]
    if in_base64:
        data = _decoded(data)
    if in_gzip:
        data = _unpacked(data, left)
    if len(data) > left:
        raise ValueError(f"more than {MAX_BYTES} bytes in all")
    return data


def _decoded(data: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except ValueError:
        raise ValueError("its base64 is damaged") from None


def _unpacked(data: bytes, left: int) -> bytes:
    inflate = zlib.decompressobj(wbits=31)
    try:
        unpacked = inflate.decompress(data, left + 1)
    except zlib.error:
        raise ValueError("its gzip data is damaged") from None
    if not inflate.eof and len(unpacked) <= left:
        raise ValueError("its gzip data ends in the middle")
    return unpacked
