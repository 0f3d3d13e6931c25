"""The OpenAPI document of a guest's own API: where a manifest says that it is, and what counts as one. Pure.

    manifest ──openapi──▶ document   the manifest itself holds it
                     ├──▶ file       a file of the plugin's initramfs
                     └──▶ path       the guest serves it

What a guest or an image holds is nobody's word until `rewritten` has read it: an object of JSON that names the version
of OpenAPI (or Swagger) it is written in, no deeper than MAX_DEPTH. It is not checked against OpenAPI's own schema:
whoever reads it has to know what to make of it. YAML is not read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta as Constraint
from msgspec import Struct

from volant.model.health import Path, Port
from volant.model.meta import Misfit

SourceKind = Literal["document", "file", "path"]

MAX_INLINE = 256 << 10
"""Bytes of a document inside a manifest: it is stored with the plugin."""
MAX_DOCUMENT = 1 << 20
"""Bytes of a document elsewhere."""
MAX_DEPTH = 128
"""Objects and lists in one another. Deeper ones would not be read by everybody, this store included."""

_BOM = b"\xef\xbb\xbf"
_ENCODER = msgspec.json.Encoder()

FilePath = Annotated[
    str,
    Constraint(
        pattern=r"^(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+)+$(?!\n)",
        max_length=1024,
        description="An absolute path inside the initramfs, without '.', '..', '//' and control characters.",
    ),
]


class OpenApi(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the document is: exactly one of `document`, `file`, `path`. `port` is the workload's own unless given."""

    document: Annotated[dict[str, Any], Constraint(description="The document itself, as an object.")] | None = None
    file: FilePath | None = None
    path: Path | None = None
    port: Port | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("document", "file", "path") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of document, file and path, got {' and '.join(given) or 'none'}")
        if self.port is not None and self.path is None:
            raise Misfit("/port", "a port belongs to a path on it: only a document that the guest serves has one")
        if self.document is not None:
            _check_inline(self.document)

    @property
    def source(self) -> SourceKind:
        """Which of the three it is."""
        return "document" if self.document is not None else "file" if self.file is not None else "path"


def spelt_out(body: Any) -> Any:
    """The body of a manifest, in which `openapi` may be the document itself: what is meant is `{"document": ...}`.

    A document names its version under a key `openapi` (or `swagger`) of its own, which none of our fields is called.
    """
    said = body.get("openapi") if isinstance(body, dict) else None
    if not isinstance(said, dict) or not ("openapi" in said or "swagger" in said):
        return body
    return {**body, "openapi": {"document": said}}


def rewritten(raw: bytes) -> bytes:
    """The document in `raw`, written anew by our own hand. Raises ValueError with the end of a sentence."""
    try:
        found = msgspec.json.decode(raw.removeprefix(_BOM))
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    except (msgspec.MsgspecError, ValueError):
        raise ValueError("it is not JSON (YAML is not read)") from None
    if not isinstance(found, dict):
        raise ValueError("it is not an object")
    _check(found)
    return _ENCODER.encode(found)


def _check_inline(document: dict[str, Any]) -> None:
    try:
        _check(document)
    except ValueError as error:
        raise Misfit("/document", str(error)) from None
    if len(_ENCODER.encode(document)) > MAX_INLINE:
        raise Misfit("/document", f"it is larger than {MAX_INLINE} bytes. Name a file or a path instead")


def _check(document: dict[str, Any]) -> None:
    if not any(isinstance(document.get(key), str) for key in ("openapi", "swagger")):
        raise ValueError("it is no OpenAPI document: it has no string under 'openapi' (or 'swagger')")
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        # A level at a time and not by recursion, because the depth is what is not known.
        level = [part for outer in level for part in _parts(outer) if isinstance(part, dict | list)]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def _parts(outer: Any) -> Any:
    return outer.values() if isinstance(outer, dict) else outer
