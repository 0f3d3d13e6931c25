"""Images that are files already: OCI layouts, as a directory or a tar, and what `docker save` writes.

    directory ──┐
    tar ────────┴──▶ Blobs: name ▸ bytes ──▶ oci-layout? index.json ▸ manifest ▸ config, layers
                                        └──▶ manifest.json (docker save) ▸ config, layers

A directory is read through its own paths only, a tar through the table of its entries: a name that leads elsewhere
leads nowhere. Whatever has a digest is checked against it; the layers of `docker save` have none, and are checked by
the config, which has the digests of the unpacked layers.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from volant.errors import ArtifactRefused
from volant.images.oci.manifest import (
    MAX_CONFIG_BYTES,
    MAX_LAYERS,
    MAX_LISTS,
    MAX_MANIFEST_BYTES,
    PLATFORM,
    Descriptor,
    Index,
    Manifest,
    check,
    choose,
    is_digest,
    parse_manifest,
    parse_object,
)
from volant.images.oci.tar import Archive, Kind

INDEX: Final = "index.json"
MARK: Final = "oci-layout"
_DOCKER: Final = "manifest.json"
_MAX_MEMBERS: Final = 20_000


class Blobs(Protocol):
    """Files by name, such as `blobs/sha256/<hex>`."""

    def open(self, name: str) -> BinaryIO | None:
        """The file, or None when there is none of that name."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the name of its file, and what it is said to be. No `said`: only the config knows."""

    name: str
    said: Descriptor | None


@dataclass(frozen=True, slots=True)
class Parts:
    """An image taken apart: its config, checked, and its layers, which whoever reads them checks."""

    blobs: Blobs
    config: bytes
    layers: tuple[Layer, ...]


@contextmanager
def open_layout(path: Path) -> Iterator[Parts]:
    """The parts of the one image for linux/amd64 in a directory or an uncompressed tar. Raises ArtifactRefused."""
    with ExitStack() as stack:
        try:
            is_directory = stat.S_ISDIR(path.stat().st_mode)
            blobs: Blobs = _Directory(path) if is_directory else _Tar(stack.enter_context(path.open("rb")))
        except OSError as error:
            raise ArtifactRefused(f"cannot read the image {path}: {error.strerror}") from error
        # Newer docker writes both; only the layout says what its layers are, and may have them packed.
        yield _image(blobs, path)


def _image(blobs: Blobs, path: Path) -> Parts:
    for name, read in ((INDEX, _oci_image), (_DOCKER, _docker_image)):
        file = blobs.open(name)
        if file is not None:
            with file:
                data = _whole(file, MAX_MANIFEST_BYTES)
            return read(blobs, data)
    raise ArtifactRefused(f"cannot read the image {path}: it is neither an OCI layout nor a docker archive")


def blob_name(digest: str) -> str:
    """Where a layout keeps the blob of that digest (`sha256:<hex>`)."""
    return "blobs/sha256/" + digest.partition(":")[2]


def _oci_image(blobs: Blobs, data: bytes) -> Parts:
    _only_one(data)
    for _ in range(MAX_LISTS + 1):
        found = parse_manifest(data)
        if isinstance(found, Manifest):
            config = check(_blob(blobs, found.config, MAX_CONFIG_BYTES), found.config, "config")
            return Parts(blobs, config, tuple(Layer(blob_name(item.digest), item) for item in found.layers))
        wanted = choose(found)
        data = check(_blob(blobs, wanted, MAX_MANIFEST_BYTES), wanted, "manifest")
    raise ArtifactRefused(f"cannot read an image: its lists of images are deeper than {MAX_LISTS}")


def _only_one(data: bytes) -> None:
    # Elsewhere a list has one image for many platforms; the list of a layout may have many images.
    index = parse_manifest(data)
    fitting = [item for item, said in index.images if said in (None, PLATFORM)] if isinstance(index, Index) else []
    if len(fitting) > 1:
        raise ArtifactRefused("cannot choose an image: the layout has several of them")


def _docker_image(blobs: Blobs, data: bytes) -> Parts:
    images = parse_object(b'{"images":' + data + b"}", "manifest.json").get("images")
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], dict):
        raise ArtifactRefused("cannot choose an image: the archive does not have exactly one")
    config_name, layers = images[0].get("Config"), images[0].get("Layers")
    if not isinstance(config_name, str) or not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise ArtifactRefused("cannot read an image: its manifest.json names no config and layers")
    file = blobs.open(config_name)
    if file is None:
        raise ArtifactRefused("cannot read an image: its config is missing")
    with file:
        config = _whole(file, MAX_CONFIG_BYTES)
    said = "sha256:" + posixpath.basename(config_name).removesuffix(".json")
    if is_digest(said):
        check(config, Descriptor("", said, len(config)), "config")
    return Parts(blobs, config, tuple(Layer(str(name), None) for name in layers))


def _blob(blobs: Blobs, wanted: Descriptor, max_bytes: int) -> bytes:
    file = blobs.open(blob_name(wanted.digest))
    if file is None:
        raise ArtifactRefused(f"cannot read an image: its part {wanted.digest} is missing")
    with file:
        return _whole(file, max_bytes)


def _whole(file: BinaryIO, max_bytes: int) -> bytes:
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ArtifactRefused(f"cannot read an image: a part of it is larger than {max_bytes} bytes")
    return data


class _Directory:
    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, name: str) -> BinaryIO | None:
        """The file at that path, no link in it followed."""
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in name:
            return None
        here = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
                os.close(here)
                here = inner
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            file = os.fdopen(os.open(parts[-1], flags, dir_fd=here), "rb")
        except OSError:
            return None
        finally:
            os.close(here)
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        return None


class _Tar:
    """The table of an archive. A link in it is one to another entry of it: older versions of docker wrote such."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        archive = Archive(file)
        for entry in archive.entries():
            name = posixpath.normpath(entry.name)
            if entry.kind is Kind.FILE:
                self._places[name] = (archive.offset, entry.size)
            elif entry.kind is Kind.SYMLINK:
                self._links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.target))
            elif entry.kind is Kind.HARDLINK:
                self._links[name] = posixpath.normpath(entry.target)
            if len(self._places) + len(self._links) > _MAX_MEMBERS:
                raise ArtifactRefused(f"cannot read an image: its archive has more than {_MAX_MEMBERS} entries")

    def open(self, name: str) -> BinaryIO | None:
        """The content of that entry."""
        name = posixpath.normpath(name)
        place = self._places.get(name) or self._places.get(self._links.get(name, ""))
        return None if place is None else io.BufferedReader(_Slice(self._file, *place))


class _Slice(io.RawIOBase):
    """A part of a file, read by position: several may be open at once."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._at, self._end = file, start, start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = os.pread(self._file.fileno(), min(len(view), self._end - self._at), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
