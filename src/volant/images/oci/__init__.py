"""OCI images: from a registry, a layout or a `docker save` archive to a directory tree and what is to be run in it.

    reference ──registry──▶ layout ──┐
    directory, tar ──────────────────┴──layout──▶ config, layers ──layers, tree──▶ into/, Unpacked

What it promises: nothing is written outside `into`, whatever the image says; nothing is used whose digest is wrong;
what an image may take of disk, memory and time is bounded; and after a failure `into` is empty. No right is needed:
owners and set-id bits are in `Unpacked.attributes`, for whoever makes a file system of the tree.

Deliberately absent: making that file system, running anything of the image, and a daemon that does either.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.images.addresses import Resolver, resolve
from volant.images.oci.config import OciConfig, parse_config, user_ids
from volant.images.oci.layers import Limits, Plain, plain_layer
from volant.images.oci.layout import Layer, Parts, open_layout
from volant.images.oci.reference import Reference, parse_reference
from volant.images.oci.registry import Progress, Registry
from volant.images.oci.tree import Attributes, Growing

__all__ = [
    "Attributes",
    "Limits",
    "OciConfig",
    "Progress",
    "Reference",
    "Unpacked",
    "parse_reference",
    "silent",
    "unpack",
    "user_ids",
]

NO_LIMITS_SAID: Final = Limits()
_TOLD_EVERY: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an image is beside its files. `attributes`: by path in the tree, "." for its root; `left_out`: how many."""

    config: OciConfig
    attributes: dict[str, Attributes]
    left_out: dict[str, int]


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Nobody watches."""


def is_path(source: str) -> bool:
    """Whether the source is a file or directory of this host: it begins with `/` or `.`, or exists."""
    return source.startswith(("/", ".")) or Path(source).exists()


def unpack(
    source: str,
    into: Path,
    *,
    allow: Sequence[str] = (),
    limits: Limits = NO_LIMITS_SAID,
    progress: Progress = silent,
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
) -> Unpacked:
    """Have the image's tree in `into`, which is made, or empty. Runs a loop of its own: call it from where none runs.

    Raises ArtifactRefused, or ArtifactUnavailable (worth another try); `into` is empty then.
    """
    with _all_or_nothing(into):
        if is_path(source):
            with open_layout(Path(source)) as parts:
                return _grow(parts, into, limits, progress)
        reference = parse_reference(source)
        # Beside the tree, because the directory for temporary files may be memory.
        with tempfile.TemporaryDirectory(prefix=".volant-pull-", dir=into.absolute().parent) as scratch:
            registry = Registry(reference, allow=allow, resolver=resolver, tls=tls, progress=progress)
            asyncio.run(registry.pull(Path(scratch)))
            with open_layout(Path(scratch)) as parts:
                return _grow(parts, into, limits, progress)


def _grow(parts: Parts, into: Path, limits: Limits, progress: Progress) -> Unpacked:
    config, diff_ids = parse_config(parts.config)
    if len(diff_ids) != len(parts.layers):
        raise ArtifactRefused("cannot use an image: its config and its manifest disagree about its layers")
    tree = Growing(into, limits)
    try:
        room = limits.max_bytes
        for number, (layer, diff_id) in enumerate(zip(parts.layers, diff_ids, strict=True), 1):
            with closing(_opened(parts, layer)) as file, plain_layer(file, layer.said, diff_id, limits, room) as plain:
                tree.add(_Watched(plain, f"unpacking layer {number} of {len(diff_ids)}", progress))
            room -= plain.size
        return Unpacked(config, tree.finish(), dict(tree.left_out))
    finally:
        tree.close()


def _opened(parts: Parts, layer: Layer) -> BinaryIO:
    file = parts.blobs.open(layer.name)
    if file is None:
        raise ArtifactRefused("cannot use an image: a layer is missing")
    return file


class _Watched:
    """A layer of which somebody is told, every few megabytes, how far it is read."""

    def __init__(self, plain: Plain, what: str, progress: Progress) -> None:
        self._plain, self._what, self._progress = plain, what, progress
        self._told = 0
        progress(what, 0, None)

    def read(self, size: int, /) -> bytes:
        data = self._plain.read(size)
        if self._plain.size - self._told >= _TOLD_EVERY:
            self._told = self._plain.size
            self._progress(self._what, self._told, None)
        return data


@contextmanager
def _all_or_nothing(into: Path) -> Iterator[None]:
    try:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(into.iterdir()):
            raise ArtifactRefused(f"cannot unpack into {into}: it is not empty")
        into.chmod(0o700)
    except OSError as error:
        raise ArtifactRefused(f"cannot unpack into {into}: {error.strerror}") from error
    try:
        yield
    except BaseException as error:
        _empty(into)
        if isinstance(error, OSError):
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)
            kind = ArtifactUnavailable if is_full else ArtifactRefused
            raise kind(f"cannot unpack an image: {error.strerror}") from error
        raise


def _empty(folder: Path) -> None:
    with os.scandir(folder) as children:
        for child in children:
            if child.is_dir(follow_symlinks=False):
                shutil.rmtree(child.path, ignore_errors=True)
            else:
                Path(child.path).unlink(missing_ok=True)
