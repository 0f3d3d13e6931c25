"""Manifests and lists of manifests: what an image consists of, as its publisher says it.

    bytes ──parse──▶ Index ──choose──▶ descriptor of linux/amd64 ──▶ … ──parse──▶ Manifest: config and layers

Whatever a descriptor names is checked against its digest and its size by whoever reads it. Layers that are to be
fetched from elsewhere ("foreign") are refused: nobody vouches for those addresses.

Deliberately absent: reading anything. This is about words only.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from volant.errors import ArtifactRefused

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPTED: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)

PLATFORM: Final = ("linux", "amd64")

MAX_MANIFEST_BYTES: Final = 4 << 20
MAX_CONFIG_BYTES: Final = 8 << 20
MAX_LAYER_BYTES: Final = 8 << 30
MAX_LAYERS: Final = 256
MAX_LISTS: Final = 3
"""Lists of lists are followed so deep. A list cannot hold itself, as its digest is in it, but a chain has no end."""

_LAYERS: Final = {
    "application/vnd.oci.image.layer.v1.tar": "",
    "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
}
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One blob by digest (`sha256:<hex>`) and size. `compression` is that of a layer: "", "gzip" or "zstd"."""

    media_type: str
    digest: str
    size: int
    compression: str = ""

    @property
    def hex(self) -> str:
        """The digest without its algorithm: a safe file name."""
        return self.digest.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform. Layers from the lowest to the highest."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """Images, each with its platform (operating system, architecture) where that is said."""

    images: tuple[tuple[Descriptor, tuple[str, str] | None], ...]


def parse_manifest(data: bytes) -> Manifest | Index:
    """What the document is, by what it has. Raises ArtifactRefused for what is neither, and for foreign layers."""
    document = parse_object(data, "an image manifest")
    if document.get("schemaVersion") != 2:
        raise ArtifactRefused("cannot read an image manifest: only schema version 2 is read")
    is_index, is_manifest = "manifests" in document, "layers" in document or "config" in document
    said = document.get("mediaType")
    # One document that is both would be one thing to us and another to whoever checked it.
    if is_index == is_manifest or (said is not None and (said in (OCI_INDEX, DOCKER_LIST)) != is_index):
        raise ArtifactRefused("cannot read an image manifest: it is neither a manifest nor a list, or both")
    if is_index:
        return Index(tuple((_descriptor(item), _platform(item)) for item in _list(document.get("manifests"))))
    layers = _list(document.get("layers"))
    if len(layers) > MAX_LAYERS:
        raise ArtifactRefused(f"cannot use an image of {len(layers)} layers: more than {MAX_LAYERS}")
    config = _descriptor(document.get("config"))
    if config.size > MAX_CONFIG_BYTES:
        raise ArtifactRefused(f"cannot use an image: its config is larger than {MAX_CONFIG_BYTES} bytes")
    return Manifest(config, tuple(_layer(item) for item in layers))


def choose(index: Index) -> Descriptor:
    """The image for linux/amd64; the only one there is, when its platform is not said. Raises ArtifactRefused."""
    for descriptor, platform in index.images:
        if platform == PLATFORM:
            return descriptor
    if len(index.images) == 1 and index.images[0][1] is None:
        return index.images[0][0]
    raise ArtifactRefused(f"cannot use an image: it has no variant for {'/'.join(PLATFORM)}")


def check(data: bytes, descriptor: Descriptor, what: str) -> bytes:
    """The data itself, when it is what the descriptor says. Raises ArtifactRefused."""
    if len(data) != descriptor.size or "sha256:" + hashlib.sha256(data).hexdigest() != descriptor.digest:
        raise ArtifactRefused(f"cannot use an image: its {what} is not what its digest and size say")
    return data


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object, or ArtifactRefused."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise ArtifactRefused(f"cannot read {what}: it is not JSON") from None
    if not isinstance(document, dict):
        raise ArtifactRefused(f"cannot read {what}: it is not a JSON object")
    return document


def is_digest(text: object) -> bool:
    """Whether it is `sha256:` and 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def _layer(item: object) -> Descriptor:
    layer = _descriptor(item)
    if layer.media_type not in _LAYERS:
        raise ArtifactRefused(f"cannot use an image: layers of the type {layer.media_type[:100]!r} are not taken")
    if layer.size > MAX_LAYER_BYTES:
        raise ArtifactRefused(f"cannot use an image: a layer is larger than {MAX_LAYER_BYTES} bytes")
    return Descriptor(layer.media_type, layer.digest, layer.size, _LAYERS[layer.media_type])


def _descriptor(item: object) -> Descriptor:
    fields = item if isinstance(item, dict) else {}
    media_type, digest, size = fields.get("mediaType"), fields.get("digest"), fields.get("size")
    if fields.get("urls"):
        raise ArtifactRefused("cannot use an image: a part of it is to be fetched from elsewhere (foreign layer)")
    if not is_digest(digest) or not isinstance(media_type, str) or type(size) is not int or size < 0:
        raise ArtifactRefused("cannot read an image manifest: a part has no media type, sha256 digest and size")
    return Descriptor(media_type, str(digest), size)


def _platform(item: object) -> tuple[str, str] | None:
    platform = item.get("platform") if isinstance(item, dict) else None
    return (str(platform.get("os")), str(platform.get("architecture"))) if isinstance(platform, dict) else None


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ArtifactRefused("cannot read an image manifest: a list is missing")
    return value
