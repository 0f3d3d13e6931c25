"""Root disks: ext4 with the owners, modes and times of a tree, the same every time, made without root."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.builders.building import a_script, check_disk, content_on_disk, on_disk, raw_disk

from volant.errors import ArtifactRefused, StartupError
from volant.images.build.ext4 import MIB, Shape, size_needed_mb, write_disk
from volant.images.build.tools import Tools
from volant.images.build.tree import Tree, a_directory, a_file, a_link

EPOCH = 1_600_000_000


def a_tree(order: int = 1) -> Tree:
    """Files of many kinds, put in one order or the other."""
    files = {
        "etc/passwd": a_file(b"root:x:0:0::/:/bin/sh\n"),
        "usr/bin/su": a_file(b"x" * 9000, 0o4755),
        "var/lib/demo": a_directory(0o700, 101, 102),
        "var/lib/demo/secret": a_file(b"s", 0o600, 101, 102),
        "tmp": a_directory(0o1777),
        "bin": a_link("usr/bin"),
        'we ird/a "quoted" name\\': a_file(b"odd", 0o640, 7, 8),
        "we ird/übung": a_file(b"even"),
    }
    tree = Tree()
    for path in sorted(files)[::order]:
        tree.put(path, files[path])
    return tree


def a_disk(tmp_path: Path, name: str, tree: Tree, shape: Shape, tools: Tools | None = None) -> Path:
    """The disk, made with work files of its own."""
    scratch = tmp_path / f"{name}.work"
    scratch.mkdir()
    write_disk(tree, tmp_path / name, shape, scratch, tools=tools or Tools())
    return tmp_path / name


def digest(path: Path) -> str:
    """Of the bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_owners_modes_times_and_names_are_those_of_the_tree(tmp_path: Path) -> None:
    raw = a_disk(tmp_path, "disk.img", a_tree(), Shape(format="raw", epoch=EPOCH))
    check_disk(raw)
    assert "Mode:  04755" in on_disk(raw, "/usr/bin/su")
    secret, demo = on_disk(raw, "/var/lib/demo/secret"), on_disk(raw, "/var/lib/demo")
    assert "Mode:  0600" in secret and "User:   101   Group:   102" in secret
    assert "Type: directory    Mode:  0700" in demo
    assert "Mode:  01777" in on_disk(raw, "/tmp")
    assert 'Fast link dest: "usr/bin"' in on_disk(raw, "/bin")
    assert content_on_disk(raw, '/we ird/a ""quoted"" name\\') == "odd"
    assert content_on_disk(raw, "/we ird/übung") == "even"
    for time in ("ctime", "atime", "mtime", "crtime"):
        assert f"{time}: 0x{EPOCH:x}:00000000" in secret


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_the_same_tree_gives_the_same_bytes_whatever_the_order(tmp_path: Path, disk_format: str) -> None:
    shape = Shape(format="raw" if disk_format == "raw" else "qcow2", epoch=EPOCH)
    first = a_disk(tmp_path, "first", a_tree(), shape)
    second = a_disk(tmp_path, "second", a_tree(-1), shape)
    assert digest(first) == digest(second)


def test_another_tree_has_another_identity(tmp_path: Path) -> None:
    other = a_tree()
    other.put("etc/more", a_file(b""))
    digests = {digest(a_disk(tmp_path, str(n), tree, Shape())) for n, tree in enumerate((a_tree(), other))}
    assert len(digests) == 2


def test_a_disk_without_a_size_has_room_and_one_with_a_size_has_that(tmp_path: Path) -> None:
    raw = a_disk(tmp_path, "a", a_tree(), Shape(format="raw"))
    assert raw.stat().st_size == (size_needed_mb(a_tree()) + 64) * MIB
    sized = a_disk(tmp_path, "b", a_tree(), Shape(format="raw", size_mb=40))
    assert sized.stat().st_size == 40 * MIB
    qcow2 = a_disk(tmp_path, "c", a_tree(), Shape(size_mb=400))
    assert qcow2.stat().st_size < 10 * MIB
    assert raw_disk(qcow2, tmp_path / "c.raw").stat().st_size == 400 * MIB


def test_a_tree_that_does_not_fit_is_told_how_much_it_needs(tmp_path: Path) -> None:
    tree = Tree()
    tree.put("big", a_file(bytes(range(256)) * 4096 * 30))
    needed = size_needed_mb(tree)
    with pytest.raises(ArtifactRefused, match=rf"into 16 MiB: /image/size_mb has to be about {needed}"):
        a_disk(tmp_path, "small", tree, Shape(size_mb=16))
    a_disk(tmp_path, "right", tree, Shape(size_mb=needed))


def test_a_tool_that_fails_or_is_missing_is_one_sentence(tmp_path: Path) -> None:
    failing = a_script(tmp_path / "fails", "echo 'no such luck' >&2; exit 3")
    whining = a_script(tmp_path / "whines", "echo '/x: File not found' >&2")
    for name, tools in {
        "no such luck": Tools(mke2fs=failing),
        "File not found": Tools(debugfs=whining),
        "cannot write .*no such luck": Tools(qemu_img=failing),
        "there is no": Tools(qemu_img=str(tmp_path / "missing")),
    }.items():
        with pytest.raises(StartupError, match=name):
            a_disk(tmp_path, name[:7].replace("/", ""), a_tree(), Shape(), tools)
