"""From a recipe to the tree of its image and the program that runs in it.

    packages | OCI image ──▶ what is not wanted goes ──▶ users, directories, files, links ──▶ Tree, Workload

What the recipe brings comes last: nothing that makes an image slim takes it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from volant.errors import ArtifactRefused, Invalid
from volant.images.build import accounts
from volant.images.build.bytecode import put_bytecode
from volant.images.build.debian import Apt, Package
from volant.images.build.debs import put_packages
from volant.images.build.progress import Progress
from volant.images.build.recipe import File, Image, Process, Recipe
from volant.images.build.scan import put_directory, put_file
from volant.images.build.tools import Tools
from volant.images.build.tree import Tree, a_directory, a_file, a_link
from volant.images.guest import Workload
from volant.images.oci import OciConfig, unpack, user_ids

UNWANTED: Final = (
    *(f"/usr/share/{name}/*" for name in ("doc", "doc-base", "info", "lintian", "linda", "locale", "man", "bug")),
    "/usr/share/common-licenses/*",
    "/var/lib/apt/*",
    "/var/lib/dpkg/*",
)
"""What a guest never reads."""

WANTED: Final = ("/usr/share/doc/*/copyright",)
"""The terms under which what is in the image may be handed on."""

PLACES: Final = {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777, "run": 0o755, "var/log": 0o755, "srv": 0o755}
"""Directories that packages take to be there."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree, what runs in it, and what it was made of. `ports` are those that an OCI image says it offers."""

    tree: Tree
    workload: Workload
    packages: tuple[Package, ...] = ()
    ports: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def grow(recipe: Recipe, base: Path, scratch: Path, home: Path, tools: Tools, progress: Progress) -> Grown:
    """The tree of the recipe, whose files are below `base`. `home` is where packages are kept, `scratch` for the rest.

    Blocks. Raises ArtifactRefused, ArtifactUnavailable, Invalid or StartupError; their messages are for people.
    """
    tree, image = Tree(), recipe.image
    packages: list[Package] = []
    config, user, notes = OciConfig(), "", []
    if image.packages:
        apt = Apt(home, tools)
        progress("choosing packages", 0, None)
        packages, idle = apt.choose(image.packages, image.without)
        notes += [f"/image/without: {pattern} leaves nothing out" for pattern in idle]
        put_packages(tree, apt.fetch(packages, progress), scratch / "spool", progress, tools=tools)
    elif image.oci is not None:
        config, user, notes = _put_oci(tree, _place(image.oci, base), scratch / "oci", progress)
    notes += _slim(tree, image)
    _furnish(tree, image, base)
    if image.python_bytecode:
        progress("compiling Python programs", 0, None)
        put_bytecode(tree, scratch, 1)
    return Grown(tree, _workload(tree, recipe.process, config, user), tuple(packages), config.ports, tuple(notes))


def _put_oci(tree: Tree, source: str, into: Path, progress: Progress) -> tuple[OciConfig, str, list[str]]:
    unpacked = unpack(source, into, progress=progress)
    put_directory(tree, into, attributes=unpacked.attributes)
    uid, gid = user_ids(into, unpacked.config.user)
    lost = [f"{count} {what} of the OCI image were left out" for what, count in unpacked.left_out.items() if count]
    return unpacked.config, f"{uid}:{gid}" if uid or gid else "", lost


def _place(oci: str, base: Path) -> str:
    """A path of a recipe is below the recipe's directory, unless it is absolute."""
    return str(base / oci) if oci.startswith(".") else oci


def _slim(tree: Tree, image: Image) -> list[str]:
    if image.slim and image.packages:
        tree.remove(UNWANTED, keep=WANTED)
    idle = tree.remove(image.remove)
    return [f"/image/remove: {pattern} takes nothing away" for pattern in image.remove if pattern in idle]


def _furnish(tree: Tree, image: Image, base: Path) -> None:
    if image.oci is None:
        for place, mode in PLACES.items():
            if tree.find(place) is None:
                tree.put(place, a_directory(mode))
    if image.oci is None or image.users:
        accounts.put_tables(tree)
    for user in image.users:
        gid = user.uid if user.gid is None else user.gid
        accounts.add_user(tree, user.name, user.uid, gid, user.home, user.shell)
    for directory in image.directories:
        tree.put(directory.path, a_directory(int(directory.mode, 8), *accounts.owner(tree, directory.owner)))
    for number, file in enumerate(image.files):
        _put_file(tree, file, base, f"/image/files/{number}")
    for path, target in image.links.items():
        tree.put(path, a_link(target))


def _put_file(tree: Tree, file: File, base: Path, at: str) -> None:
    owner = accounts.owner(tree, file.owner)
    mode = None if file.mode is None else int(file.mode, 8)
    if file.source is None:
        tree.put(file.to, a_file((file.text or "").encode(), mode or 0o644, *owner))
        return
    source = base / file.source
    if not source.exists():
        raise Invalid(f"cannot find {source}, which {at}/from names", fields=[{"path": f"{at}/from", "message": ""}])
    put_file(tree, source, file.to, owner=owner, mode=mode)


def _workload(tree: Tree, process: Process, config: OciConfig, user: str) -> Workload:
    argv = process.argv or config.argv
    if not argv:
        raise ArtifactRefused("cannot build an image that runs nothing: say the program as /process/argv")
    who = user if process.user is None else process.user
    accounts.owner(tree, who)
    _check_program(tree, argv[0])
    return Workload(
        argv=argv,
        env={**config.env, **process.env},
        user=who,
        cwd=process.cwd or config.cwd,
        stop=process.stop or config.stop_signal or "SIGTERM",
        before=process.before,
    )


def _check_program(tree: Tree, program: str) -> None:
    """A program with a path has to be there. One without may be busybox's, so nothing is said about it."""
    if program.startswith("/") and tree.find(program) is None and not program.startswith("/volant/"):
        raise ArtifactRefused(f"cannot build an image that runs {program}: it is not in the image")
