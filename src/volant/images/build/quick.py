"""Recipes for those who have none: a directory, a program, a list of packages, an OCI image.

    what was asked for on the command line ──▶ the document of a recipe ──parse_recipe──▶ Recipe, base directory

What is left out of the command is told from its source: the name from the file's, the program from the only one there
is. A program that needs libraries is refused at once, because alone in a guest it could not start.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from volant.errors import Invalid
from volant.images.build.recipe import RECIPE, Recipe, parse_recipe, read_recipe
from volant.images.elf import is_static

VERSION: Final = "1.0.0"
_ELF: Final = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says beside the source. None and empty: not said."""

    name: str | None = None
    version: str | None = None
    argv: Sequence[str] = ()
    port: int | None = None
    memory_mb: int | None = None
    kind: str | None = None
    size_mb: int | None = None

    def is_silent(self) -> bool:
        """Whether nothing was said."""
        return self == Asked()


def from_path(path: Path, asked: Asked) -> tuple[Recipe, Path]:
    """The recipe of a directory with one, of a directory of files, or of one program; and what its files are below.

    Raises Invalid.
    """
    file = path / RECIPE if path.is_dir() else path
    if file.name == RECIPE and file.exists():
        if not asked.is_silent():
            raise Invalid(f"cannot change {file} from the command line: a recipe says everything itself")
        return read_recipe(file), file.parent
    if path.is_dir():
        return _parsed({"files": [{"from": ".", "to": "/"}]}, path.resolve().name, asked), path
    if not path.exists():
        raise Invalid(f"cannot find {path}. Expected a directory, a program, or a directory with {RECIPE}")
    _check_program(path)
    program = f"/usr/local/bin/{path.name}"
    image = {"files": [{"from": path.name, "to": program, "mode": "0755"}]}
    return _parsed(image, path.stem, asked, [program]), path.parent


def from_packages(packages: Sequence[str], asked: Asked) -> Recipe:
    """The recipe of some packages, called after the first. Raises Invalid."""
    return _parsed({"packages": list(packages)}, re.split("[=/]", packages[0])[0], asked)


def from_oci(source: str, asked: Asked) -> Recipe:
    """The recipe of an OCI image, called after its repository. Raises Invalid."""
    last = source.rstrip("/").rpartition("/")[2]
    return _parsed({"oci": source}, re.split("[:@]", last)[0].removesuffix(".tar"), asked)


def _parsed(image: dict[str, Any], name: str, asked: Asked, argv: Sequence[str] = ()) -> Recipe:
    manifest: dict[str, Any] = {"name": asked.name or _name(name), "version": asked.version or VERSION}
    if asked.port is not None:
        manifest["workload"] = {"type": "tcp", "port": asked.port}
    if asked.memory_mb is not None:
        manifest["resources"] = {"memory_mb": asked.memory_mb}
    said = {"kind": asked.kind, "size_mb": asked.size_mb}
    image |= {key: value for key, value in said.items() if value is not None}
    words = [*argv, *asked.argv]
    if not words and "oci" not in image:
        raise Invalid("cannot build an image that runs nothing. Say the program after --: -- /path/in/guest WORD ...")
    return parse_recipe({"manifest": manifest, "image": image, "process": {"argv": words}}, "the command")


def _name(text: str) -> str:
    """A name that objects can have, as near to the text as may be."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].rstrip("-") or "image"


def _check_program(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            is_elf = stream.read(4) == _ELF
        if is_elf and not is_static(path.read_bytes()):
            raise Invalid(
                f"cannot run {path} alone in a guest: it needs libraries. Link it statically, or use --debian"
            )
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot use {path} as a program: {error}") from error
