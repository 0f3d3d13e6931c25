"""A recipe: what an image is made of, what runs in it, and what its manifest says. One file, `image.toml`.

    image.toml ──read_recipe──▶ Recipe ──(assemble)──▶ image + manifest

Every field is known or refused, with its path: `/image/files/0/mode`. `[manifest]` is the manifest that users install
without its artifacts, which the build adds; it is checked by the same type.

Deliberately absent: conditions, variables, commands that run on the host. What has to be computed is a file.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from volant.errors import Invalid
from volant.images.build.ext4 import DiskFormat
from volant.model.meta import Misfit
from volant.model.plugin import Manifest

RECIPE: Final = "image.toml"
MADE: Final = ("kernel", "initramfs", "rootfs")
"""Fields of a manifest that the build writes."""

_AT: Final = re.compile(r"^(.*?)(?: - at (?:`key` in )?`\$(.*)`)?$", re.DOTALL)
T = TypeVar("T")

_NOWHERE: Final = {"kernel": {"url": "file:///"}, "initramfs": {"url": "file:///"}}

Text = Annotated[str, Meta(pattern=r"^[^\x00]*$", max_length=65536)]
AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\x00-\x1f\x7f]*$(?!\n)", max_length=3000)]
Mode = Annotated[str, Meta(pattern=r"^[0-7]{3,4}$(?!\n)")]
Owner = Annotated[str, Meta(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?)?$(?!\n)")]
Number = Annotated[int, Meta(ge=0, le=4_294_967_294)]
UserName = Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$(?!\n)")]
Place = Annotated[str, Meta(pattern=r"^[^:\x00-\x1f\x7f]*$(?!\n)", max_length=1024)]


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user of the image. `gid` is its uid when left out."""

    name: UserName
    uid: Number
    gid: Number | None = None
    home: Place = "/nonexistent"
    shell: Place = "/usr/sbin/nologin"


class Directory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A directory of the image; parents are made, and belong to root."""

    path: AbsolutePath
    mode: Mode = "0755"
    owner: Owner = ""


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the image: one beside the recipe, a directory there with all below, or a text."""

    to: AbsolutePath
    source: str | None = field(name="from", default=None)
    text: str | None = None
    mode: Mode | None = None
    owner: Owner = ""

    def __post_init__(self) -> None:
        if (self.source is None) == (self.text is None):
            raise Misfit("", "expected `from` or `text`, and one of them only")
        if self.source is not None and (self.source.startswith("/") or ".." in self.source.split("/")):
            raise Misfit("/from", "expected a path below the recipe's directory")


class Image(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files. `kind` left out: a disk where there are packages or an OCI image, else memory."""

    kind: Literal["disk", "memory"] | None = None
    format: DiskFormat = "qcow2"
    size_mb: Annotated[int, Meta(ge=8, le=1 << 20)] | None = None
    packages: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    oci: str | None = None
    remove: tuple[AbsolutePath, ...] = ()
    slim: bool = True
    python_bytecode: bool = False
    users: tuple[User, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    links: dict[AbsolutePath, str] = {}

    @property
    def is_disk(self) -> bool:
        """Whether it becomes a root disk."""
        return (self.kind or ("disk" if self.packages or self.oci else "memory")) == "disk"


class Process(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs in the guest. What is left out is what an OCI image says, where there is one."""

    argv: tuple[Text, ...] = ()
    env: dict[str, Text] = {}
    user: Owner | None = None
    cwd: AbsolutePath | None = None
    stop: Annotated[str, Meta(pattern=r"^SIG[A-Z]{2,6}[0-9]?$(?!\n)")] | None = None
    before: tuple[Text, ...] = ()


class KernelWords(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words for the kernel's command line, after Volant's own."""

    cmdline: Annotated[str, Meta(pattern=r"^[\x20-\x7e]*$(?!\n)", max_length=512)] = ""


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of it. `manifest` has been found to be one, artifacts aside."""

    manifest: dict[str, Any]
    image: Image = field(default_factory=Image)
    process: Process = field(default_factory=Process)
    kernel: KernelWords = field(default_factory=KernelWords)

    def __post_init__(self) -> None:
        if self.image.packages and self.image.oci:
            raise Misfit("/image/oci", "an image is made of packages or of an OCI image, not of both")
        if self.image.python_bytecode and not self.image.packages:
            raise Misfit("/image/python_bytecode", "only the Python of Debian's packages is run on this host")
        if not self.process.argv and self.image.oci is None:
            raise Misfit("/process/argv", "expected the program that the guest runs")


def read_recipe(path: Path) -> Recipe:
    """The recipe in this file. Raises Invalid, with the path of the field that is wrong."""
    try:
        return parse_recipe(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: it is no TOML ({error})") from error


def parse_recipe(document: dict[str, Any], name: str) -> Recipe:
    """The recipe that a document is; `name` is what messages call it. Raises Invalid."""
    recipe = _converted(document, Recipe, "", name)
    for made in MADE:
        if made in recipe.manifest:
            raise _wrong(name, f"/manifest/{made}", "is written by the build")
    _converted({**recipe.manifest, **_NOWHERE}, Manifest, "/manifest", name)
    return recipe


def _converted(document: Any, shape: type[T], at: str, name: str) -> T:
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        found = _AT.match(str(error))
        message, path = (found[1], found[2] or "") if found else (str(error), "")
        within = error.__cause__.path if isinstance(error.__cause__, Misfit) else ""
        raise _wrong(name, at + _pointer(path) + within, message) from error


def _pointer(path: str) -> str:
    """`.image.files[0].mode` -> `/image/files/0/mode`."""
    return re.sub(r"\.|\[", "/", path.replace("]", ""))


def _wrong(name: str, path: str, message: str) -> Invalid:
    return Invalid(f"cannot use {name}: {path or '/'}: {message}", fields=[{"path": path, "message": message}])
