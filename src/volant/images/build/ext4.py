"""A tree as the root disk of a guest: an ext4 file system that is the same for the same tree.

    Tree ──stage──▶ directory ──mke2fs -d──▶ file system ──debugfs──▶ owners, modes, times ──qemu-img──▶ qcow2

Nobody needs to be root: what is staged belongs to whoever builds and has harmless modes, and what it should be is
written into the inodes afterwards. Times have to be written there in any case, because mke2fs copies the moment at
which a file was staged and nothing can set that. Features are named one by one, so that the host's mke2fs.conf has no
say.

Deliberately absent: partitions and boot loaders (the kernel comes beside the disk), and growing: a disk has the size it
is built with, and a VM may ask for a larger one.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from volant.errors import ArtifactRefused, StartupError
from volant.images.build.tools import DEBIAN, Tools, last_words, run
from volant.images.build.tree import Node, Tree

DiskFormat = Literal["qcow2", "raw"]

BLOCK: Final = 4096
MIB: Final = 1 << 20
JOURNAL_MB: Final = 4
ROOM_MB: Final = 64
"""Of a disk whose size nobody gives: free space."""
BYTES_PER_INODE: Final = 16384
FEATURES: Final = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
_TIMES: Final = ("atime", "ctime", "mtime", "crtime")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a disk is to be like. `size_mb` of None is what the tree needs, and room; `epoch` is every time in it."""

    label: str = "root"
    size_mb: int | None = None
    format: DiskFormat = "qcow2"
    epoch: int = 0


def write_disk(tree: Tree, image: Path, shape: Shape, scratch: Path, *, tools: Tools = DEBIAN) -> None:
    """Write the disk to `image`, with work files in `scratch`, an empty directory of the caller's.

    Raises ArtifactRefused when the tree does not fit into `size_mb`, StartupError when a tool fails.
    """
    staged, raw = scratch / "staged", scratch / "disk.raw"
    stage(tree, staged, shape.epoch)
    _make_file_system(tree, staged, raw, shape, tools)
    _write_inodes(tree, raw, shape, scratch / "inodes", tools)
    shutil.rmtree(staged)
    if shape.format == "raw":
        raw.replace(image)
        return
    # One request at a time, because clusters stand in the order in which they are written.
    converted = run([tools.qemu_img, "convert", "-m", "1", "-f", "raw", "-O", "qcow2", raw, image])
    if converted.returncode != 0:
        raise StartupError(f"cannot write {image}: {last_words(converted.stderr)}")


def stage(tree: Tree, into: Path, epoch: int) -> None:
    """Write the tree below `into`, which must not be there. Owners and modes are left out."""
    into.mkdir(mode=0o700)
    for path, node in tree.items():
        at = into / path
        if node.is_directory:
            at.mkdir(mode=0o700)
        elif node.is_link:
            at.symlink_to(node.target)
        elif isinstance(node.content, bytes):
            at.write_bytes(node.content)
        else:
            shutil.copyfile(node.content, at)
        os.utime(at, (epoch, epoch), follow_symlinks=False)


def size_needed_mb(tree: Tree) -> int:
    """MiB that a file system with this tree takes at least, its own tables included; a little more than is true."""
    blocks = sum(1 + -(-node.size() // BLOCK) for _, node in tree.items())
    tables = (len(tree) + 256) * 256 // BLOCK
    return JOURNAL_MB + 2 + int((blocks + tables) * BLOCK * 1.03) // MIB


def _make_file_system(tree: Tree, staged: Path, raw: Path, shape: Shape, tools: Tools) -> None:
    needed = size_needed_mb(tree)
    size = shape.size_mb or needed + ROOM_MB
    identity = _identity(tree, shape)
    inodes = max(len(tree) + 1024, size * MIB // BYTES_PER_INODE)
    command: list[str | Path] = [tools.mke2fs, "-q", "-F", "-t", "ext4", "-O", FEATURES, "-b", str(BLOCK), "-I", "256"]
    command += ["-N", str(inodes), "-m", "0", "-J", f"size={JOURNAL_MB}", "-L", shape.label[:16], "-U", identity]
    command += ["-E", f"root_owner=0:0,hash_seed={identity},lazy_itable_init=1,nodiscard", "-d", staged]
    made = run([*command, raw, f"{size}M"], env=_fixed_time(shape))
    if made.returncode == 0:
        return
    if "allocate" in made.stderr or "no free space" in made.stderr.lower() or size < needed:
        raise ArtifactRefused(f"cannot fit the files into {size} MiB: /image/size_mb has to be about {needed}")
    raise StartupError(f"cannot make a file system: {last_words(made.stderr)}")


def _write_inodes(tree: Tree, raw: Path, shape: Shape, script: Path, tools: Tools) -> None:
    """Have owners, modes and times in the image as the tree and the shape say."""
    with script.open("w", encoding="utf-8") as out:
        for path, node in (("", tree.root), *tree.items()):
            out.writelines(f"{line}\n" for line in _fields(path, node, shape.epoch))
        out.writelines(f"sif /lost+found {field} @{shape.epoch}\n" for field in _TIMES)
    done = run([tools.debugfs, "-w", "-f", script, raw], env=_fixed_time(shape))
    # It goes on after an error and ends with 0: what it says beside its own name and the echo is what went wrong.
    wrong = [line for line in done.stderr.splitlines() if line and not line.startswith("debugfs ")]
    if done.returncode != 0 or wrong:
        raise StartupError(f"cannot write owners into a file system: {wrong[0] if wrong else last_words(done.stdout)}")


def _fields(path: str, node: Node, epoch: int) -> Iterator[str]:
    name = '"/' + path.replace('"', '""') + '"'
    yield f"sif {name} mode 0{node.mode:o}"
    yield f"sif {name} uid {node.uid}"
    yield f"sif {name} gid {node.gid}"
    for field in _TIMES:
        yield f"sif {name} {field} @{epoch}"
        yield f"sif {name} {field}_extra 0"


def _identity(tree: Tree, shape: Shape) -> str:
    """The file system's UUID and the seed of its hashes: told from names, so that the same tree has the same."""
    digest = sha256(f"{shape.label}\0".encode())
    for path, _ in tree.items():
        digest.update(path.encode() + b"\0")
    return str(uuid.UUID(bytes=digest.digest()[:16], version=4))


def _fixed_time(shape: Shape) -> dict[str, str]:
    # A time of 0 means "now" to e2fsprogs.
    return {"E2FSPROGS_FAKE_TIME": str(shape.epoch or 1), "MKE2FS_SYNC": "0"}
