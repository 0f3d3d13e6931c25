"""OCI images made of words, as a registry, a layout and a `docker save` archive would give them.

base = layer(("etc/", ), ("etc/motd", b"hello"), ("evil", link("/etc")))
an_image(base).layout(tmp_path / "image")
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.builders.artifact_server import Server, Writer, head, serving

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
REPOSITORY = "team/app"
TOKEN = "t0ken"


def a_file(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A regular file."""
    return _info(name, tarfile.REGTYPE, size=len(content), **{"mode": 0o644, **fields}), content


def a_directory(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A directory."""
    return _info(name, tarfile.DIRTYPE, **{"mode": 0o755, **fields}), b""


def a_link(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A symbolic link."""
    return _info(name, tarfile.SYMTYPE, linkname=target, **fields), b""


def a_hard_link(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A hard link."""
    return _info(name, tarfile.LNKTYPE, linkname=target, **fields), b""


def a_device(name: str, kind: bytes = tarfile.CHRTYPE) -> tuple[tarfile.TarInfo, bytes]:
    """A device node, or a pipe."""
    return _info(name, kind, devmajor=1, devminor=3), b""


def _info(name: str, kind: bytes, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def layer(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of the entries, in that order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def digest_of(data: bytes) -> str:
    """`sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Image:
    """Blobs by digest, and the descriptor of what to begin with."""

    blobs: dict[str, bytes]
    top: dict[str, Any]
    tars: list[bytes] = field(default_factory=list)
    config: bytes = b""

    @property
    def manifest(self) -> bytes:
        """What a tag of the registry leads to."""
        return self.blobs[self.top["digest"]]

    def layout(self, path: Path) -> str:
        """Write an OCI layout directory; its path."""
        for name, content in self.files().items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        return str(path)

    def layout_tar(self, path: Path) -> str:
        """Write an OCI layout as a tar; its path."""
        path.write_bytes(layer(*(a_file(name, content) for name, content in self.files().items())))
        return str(path)

    def files(self) -> dict[str, bytes]:
        """The files of the layout."""
        blobs = {f"blobs/sha256/{digest[7:]}": content for digest, content in self.blobs.items()}
        index = json.dumps({"schemaVersion": 2, "manifests": [self.top]}).encode()
        return {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs}

    def docker_save(self, path: Path, **said: Any) -> str:
        """Write what `docker save` writes; its path. `said` replaces fields of manifest.json."""
        config = f"{digest_of(self.config)[7:]}.json"
        names = [f"{number}/layer.tar" for number in range(len(self.tars))]
        entry = {"Config": config, "RepoTags": ["app:1"], "Layers": names, **said}
        files = [a_file(config, self.config), a_file("manifest.json", json.dumps([entry]).encode())]
        files += [a_file(name, content) for name, content in zip(names, self.tars, strict=True)]
        path.write_bytes(layer(*files))
        return str(path)


def an_image(*layers: bytes, packed: str = "gzip", said: dict[str, Any] | None = None, **more: Any) -> Image:
    """An image of the layers. `said` is the config's `config`; `more` goes into every layer's descriptor."""
    blobs: dict[str, bytes] = {}
    descriptors = []
    for content in layers:
        blob = gzip.compress(content, mtime=0) if packed == "gzip" else content
        blobs[digest_of(blob)] = blob
        media = LAYER + ("+gzip" if packed == "gzip" else "")
        descriptors.append({"mediaType": media, "digest": digest_of(blob), "size": len(blob), **more})
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": said or {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(content) for content in layers]},
        }
    ).encode()
    manifest = a_manifest(_put(blobs, config, CONFIG), descriptors)
    return Image(blobs, _put(blobs, manifest, MANIFEST), list(layers), config)


def a_manifest(config: dict[str, Any], layers: list[dict[str, Any]]) -> bytes:
    """A manifest of those descriptors."""
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).encode()


def a_list(image: Image, *, architecture: str = "amd64", beside: str | None = "arm64", depth: int = 1) -> Image:
    """The image behind a list of images, or behind a list of such lists."""
    blobs, top = dict(image.blobs), image.top
    for _ in range(depth):
        entries = [{**top, "platform": {"os": "linux", "architecture": architecture}}]
        if beside is not None:
            entries.insert(0, {**top, "digest": digest_of(b""), "platform": {"os": "linux", "architecture": beside}})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        top = _put(blobs, json.dumps(index).encode(), INDEX)
    return Image(blobs, top, image.tars, image.config)


def _put(blobs: dict[str, bytes], data: bytes, media: str) -> dict[str, Any]:
    blobs[digest_of(data)] = data
    return {"mediaType": media, "digest": digest_of(data), "size": len(data)}


@dataclass
class LoopbackRegistry:
    """A registry that has one image, and wants a token where `asks`. `realm` is where it says that tokens are.

    A token is good for `lasts` requests.
    """

    image: Image
    asks: bool = False
    lasts: int = 1000
    tokens: int = 0
    uses: int = 0
    realm: str = ""
    blobs_at: str = ""
    server: Server = field(default_factory=Server)

    @property
    def reference(self) -> str:
        """What to pull."""
        return f"127.0.0.1:{self.server.port}/{REPOSITORY}:1"

    async def answer(self, path: str, writer: Writer) -> None:
        """One request."""
        url, said = urlsplit(path), self.server.headers[-1]
        if url.path == "/token":
            is_right = parse_qs(url.query).get("scope") == [f"repository:{REPOSITORY}:pull"]
            self.tokens, self.uses = self.tokens + 1, 0
            writer.write(_answer(json.dumps({"token": f"{TOKEN}{self.tokens}" if is_right else ""}).encode()))
        elif self.asks and not self._is_good(said.get("authorization")):
            challenge = f'Bearer realm="{self.realm or self.server.url("/token")}",service="r",scope="everything"'
            writer.write(_answer(b"no", "401 Unauthorized", **{"www-authenticate": challenge}))
        else:
            writer.write(self._content(url.path))

    def _is_good(self, said: str | None) -> bool:
        self.uses += 1
        return said == f"Bearer {TOKEN}{self.tokens}" and self.tokens > 0 and self.uses <= self.lasts

    def _content(self, path: str) -> bytes:
        kind, _, name = path.removeprefix(f"/v2/{REPOSITORY}/").partition("/")
        if kind == "blobs" and self.blobs_at:
            return _answer(b"", "307 Temporary Redirect", location=self.blobs_at)
        content = self.image.manifest if (kind, name) == ("manifests", "1") else self.image.blobs.get(name)
        return _answer(b"none", "404 Not Found") if content is None else _answer(content)


def _answer(content: bytes, status: str = "200 OK", **headers: str) -> bytes:
    return head(status, **{"content_length": str(len(content)), **headers}) + content


@asynccontextmanager
async def a_registry(image: Image, **how: Any) -> AsyncIterator[LoopbackRegistry]:
    """The registry, while it listens on a free port of loopback."""
    registry = LoopbackRegistry(image, **how)
    async with serving(registry.answer) as server:
        registry.server = server
        yield registry
