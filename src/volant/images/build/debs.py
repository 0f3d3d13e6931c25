"""The files of Debian packages, put into a tree.

Packages are read as archives: owners, set-id bits and links come from there and nobody needs to be root. The four
links that make `/bin` and its like parts of `/usr` are put first, because no package brings them and all take them to
be there.
"""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import IO, Final

from volant.errors import ArtifactRefused
from volant.images.build.progress import Progress, silent
from volant.images.build.tools import DEBIAN, Tools, found
from volant.images.build.tree import Tree, a_directory, a_file, a_link

MERGED: Final = ("bin", "sbin", "lib", "lib64")
IN_MEMORY: Final = 1 << 16
"""Bytes of a file that need no file of ours meanwhile."""


def put_packages(
    tree: Tree, debs: Sequence[Path], spool: Path, progress: Progress = silent, *, tools: Tools = DEBIAN
) -> None:
    """Put the files of these packages into the tree; large ones are kept in the directory `spool`, which is made.

    Raises ArtifactRefused for a file that is no package.
    """
    for name in MERGED:
        tree.put(f"usr/{name}", a_directory())
        tree.put(name, a_link(f"usr/{name}"))
    kept = _Spool(spool)
    for number, deb in enumerate(debs):
        progress("unpacking packages", number, len(debs))
        _put_package(tree, deb, kept, found(tools.dpkg_deb))
    progress("unpacking packages", len(debs), len(debs))


class _Spool:
    """A place for bytes until they are in the image."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._paths = (directory / str(number) for number in count())

    def keep(self, stream: IO[bytes], size: int) -> bytes | Path:
        if size <= IN_MEMORY:
            return stream.read()
        path = next(self._paths)
        with path.open("wb") as out:
            while piece := stream.read(1 << 20):
                out.write(piece)
        return path


def _put_package(tree: Tree, deb: Path, spool: _Spool, dpkg_deb: str) -> None:
    command = [dpkg_deb, "--fsys-tarfile", str(deb)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                _put_members(tree, archive, spool)
            # What follows the archive's end is read too, so that the tool can end well.
            while process.stdout.read(1 << 16):
                pass
        except tarfile.TarError as error:
            process.kill()
            raise ArtifactRefused(f"cannot unpack {deb.name}: it is damaged ({error})") from error
    if process.returncode != 0:
        raise ArtifactRefused(f"cannot unpack {deb.name}: it is no Debian package, or damaged")


def _put_members(tree: Tree, archive: tarfile.TarFile, spool: _Spool) -> None:
    for member in archive:
        owned = (member.mode & 0o7777, member.uid, member.gid)
        if member.isdir():
            tree.put(member.name, a_directory(*owned))
        elif member.issym():
            tree.put(member.name, a_link(member.linkname))
        elif member.islnk():
            _put_again(tree, member)
        elif member.isreg() and (stream := archive.extractfile(member)) is not None:
            tree.put(member.name, a_file(spool.keep(stream, member.size), *owned))


def _put_again(tree: Tree, member: tarfile.TarInfo) -> None:
    there = tree.find(member.linkname)
    if there is None:
        raise ArtifactRefused(f"cannot unpack {member.name}: it is another name of a file that is not there")
    tree.put(member.name, there)
