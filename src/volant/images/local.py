"""Artifacts of `file:` URLs, below the directories that the operator gave and nowhere else.

What is judged is where the file really is, after links and `..`, and it is judged again once it is open: a directory
that is swapped for a link in between leads nowhere. Only regular files are read.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.http import CHUNK_BYTES, Announce, Sink, nobody_asks

_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})


async def fetch_file(url: str, sink: Sink, announce: Announce = nobody_asks, *, roots: Sequence[Path]) -> None:
    """Give the content of the file to `sink`. Raises ArtifactRefused or ArtifactUnavailable."""
    path = parse_path(url)
    with _opened(path, roots) as descriptor:
        announce(os.fstat(descriptor).st_size)
        while chunk := await asyncio.to_thread(_read, descriptor, path):
            await sink(chunk)


def parse_path(url: str) -> Path:
    """`file:///a/b` -> `/a/b`. Raises ArtifactRefused for another host, a relative path, a query or a fragment."""
    try:
        parts = urlsplit(url)
        path = unquote(parts.path, errors="strict")
    except ValueError:
        raise ArtifactRefused("cannot read something that is not a URL") from None
    has_more = parts.query or parts.fragment or "\0" in path
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/") or has_more:
        raise ArtifactRefused("cannot read a file: its URL is not of the form file:///absolute/path")
    return Path(path)


@contextmanager
def _opened(path: Path, roots: Sequence[Path]) -> Iterator[int]:
    real = _below(path, path, roots)
    try:
        # O_NONBLOCK: opening a pipe would wait for its other end. It means nothing to a regular file.
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _NOT_THERE:
            # Refused, so that whoever waits for a VM of it hears at once: a file does not appear by being asked for.
            raise ArtifactRefused(f"cannot read {path}: there is no such file") from error
        raise ArtifactUnavailable(f"cannot read {path}: {error.strerror}") from error
    try:
        _below(Path(f"/proc/self/fd/{descriptor}"), path, roots)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ArtifactRefused(f"cannot read {path}: it is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _below(path: Path, named: Path, roots: Sequence[Path]) -> Path:
    """Where it really is, if that is below a root. What exists elsewhere is not told from what does not."""
    try:
        real = path.resolve()
        if any(real.is_relative_to(root.resolve()) for root in roots):
            return real
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise ArtifactRefused(f"cannot read {named}: its path leads nowhere") from error
    raise ArtifactRefused(f"cannot read {named}: it is not below an artifact root (--artifact-root)")


def _read(descriptor: int, path: Path) -> bytes:
    try:
        return os.read(descriptor, CHUNK_BYTES)
    except OSError as error:
        raise ArtifactUnavailable(f"cannot read {path}: {error.strerror}") from error
