"""A guest's files before they are an image: a table that no link leads out of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volant.errors import ArtifactRefused
from volant.images.build.scan import put_directory, put_file
from volant.images.build.tree import Tree, a_directory, a_file, a_link, clean
from volant.images.newc import character_device, directory, regular


def paths(tree: Tree) -> list[str]:
    """All of them, in the order of an image."""
    return [path for path, _ in tree.items()]


def test_parents_are_made_and_stand_before_what_is_in_them() -> None:
    tree = Tree()
    tree.put("/usr/bin/demo", a_file(b"x", 0o755))
    tree.put("usr-more", a_file(b""))
    assert paths(tree) == ["usr", "usr-more", "usr/bin", "usr/bin/demo"]


@pytest.mark.parametrize("path", ["../etc/passwd", "a/../../b", "a\nb", "a\x00b", "\x1b[2J", "x" * 4000])
def test_a_name_that_no_image_can_hold_is_refused(path: str) -> None:
    with pytest.raises(ArtifactRefused, match="cannot put a file called"):
        Tree().put(path, a_file(b""))


def test_a_path_through_a_link_is_followed_inside_the_tree() -> None:
    tree = Tree()
    tree.put("usr/lib", a_directory())
    tree.put("lib", a_link("usr/lib"))
    tree.put("var/run", a_link("/run"))
    tree.put("lib/a.so", a_file(b"a"))
    tree.put("var/run/demo/pid", a_file(b"1"))
    assert {"usr/lib/a.so", "run/demo/pid"} <= set(paths(tree))
    assert tree.read("/lib/a.so") == "a"


def test_a_link_that_leads_up_stays_at_the_root() -> None:
    tree = Tree()
    tree.put("out", a_link("../../../../etc"))
    tree.put("out/passwd", a_file(b"mine"))
    assert tree.read("etc/passwd") == "mine"


def test_links_in_a_circle_are_refused() -> None:
    tree = Tree()
    tree.put("a", a_link("b"))
    tree.put("b", a_link("a"))
    with pytest.raises(ArtifactRefused, match="in a circle"):
        tree.put("a/x", a_file(b""))


def test_a_link_to_a_directory_stays_when_the_directory_comes() -> None:
    tree = Tree()
    tree.put("bin", a_link("usr/bin"))
    tree.put("bin", a_directory())
    tree.put("bin/sh", a_file(b"sh"))
    assert paths(tree) == ["bin", "usr", "usr/bin", "usr/bin/sh"]


def test_a_directory_that_comes_again_changes_mode_and_owner_and_keeps_its_files() -> None:
    tree = Tree()
    tree.put("var/lib/x", a_file(b""))
    tree.put("var/lib", a_directory(0o700, 5, 6))
    node = tree.find("var/lib")
    assert node is not None
    assert (stat.S_IMODE(node.mode), node.uid, node.gid) == (0o700, 5, 6)
    assert tree.find("var/lib/x") is not None


def test_a_file_replaces_a_file_and_never_a_directory() -> None:
    tree = Tree()
    tree.put("a", a_link("/etc/shadow"))
    tree.put("a", a_file(b"2"))
    tree.put("d/x", a_file(b""))
    assert tree.read("a") == "2"
    with pytest.raises(ArtifactRefused, match="a directory is there"):
        tree.put("d", a_file(b""))
    with pytest.raises(ArtifactRefused, match="it is no directory"):
        tree.put("a/b", a_file(b""))


def test_removing_takes_what_is_below_and_keeps_what_is_wanted() -> None:
    tree = Tree()
    for path in ("usr/share/doc/a/copyright", "usr/share/doc/a/NEWS", "usr/share/doc/b/NEWS", "usr/share/docs"):
        tree.put(path, a_file(b""))
    assert tree.remove(["/usr/share/doc/*", "/nothing/*"], keep=["/usr/share/doc/*/copyright"]) == {"/nothing/*"}
    kept = ["usr/share/doc", "usr/share/doc/a", "usr/share/doc/a/copyright", "usr/share/docs"]
    assert paths(tree) == ["usr", "usr/share", *kept]


def test_entries_of_a_guest_leave_directories_as_they_are() -> None:
    tree = Tree()
    tree.put("tmp", a_directory(0o1777))
    tree.put_entries([directory("tmp"), regular("volant/init", b"#!", 0o755), character_device("dev/console", 5, 1)])
    found = tree.find("tmp")
    assert found is not None and stat.S_IMODE(found.mode) == 0o1777
    assert paths(tree) == ["tmp", "volant", "volant/init"]


def test_entries_of_an_initramfs_carry_owners() -> None:
    tree = Tree()
    tree.put("srv/x", a_file(b"1", 0o4755, 33, 34))
    entry = tree.entries()[-1]
    assert (entry.name, entry.owner, entry.data) == ("srv/x", (33, 34), b"1")
    assert stat.S_IMODE(entry.mode) == 0o4755


def test_a_directory_of_somebodys_belongs_to_root_whatever_its_umask_was(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir(mode=0o775)
    (tmp_path / "bin/run").write_text("#!")
    (tmp_path / "bin/run").chmod(0o775)
    (tmp_path / "note").write_text("x")
    (tmp_path / "note").chmod(0o600)
    (tmp_path / "away").symlink_to("/etc/shadow")
    tree = Tree()
    put_directory(tree, tmp_path)
    modes = {path: (stat.S_IMODE(node.mode), node.uid, node.gid) for path, node in tree.items()}
    assert modes["bin"] == modes["bin/run"] == (0o755, 0, 0)
    assert modes["note"] == (0o644, 0, 0)
    away = tree.find("away")
    assert away is None and [node.target for path, node in tree.items() if path == "away"] == ["/etc/shadow"]


def test_what_is_neither_file_nor_directory_nor_link_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactRefused, match="neither a file nor a directory nor a link"):
        put_directory(Tree(), tmp_path)


def test_one_file_is_put_with_a_mode_and_an_owner(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    tree = Tree()
    put_file(tree, tmp_path / "x", "/etc/x", owner=(7, 8), mode=0o600)
    node = tree.find("etc/x")
    assert node is not None
    assert (stat.S_IMODE(node.mode), node.uid, node.gid, node.data()) == (0o600, 7, 8, b"1")
    with pytest.raises(ArtifactRefused, match="cannot read"):
        put_file(tree, tmp_path / "missing", "/etc/y")


NAMES = st.sampled_from(["a", "b", "a/b", "b/a", "a/b/c", "c", "c/a"])
TARGETS = st.sampled_from(["a", "/b", "../c", "b/a", "../../x", "."])
STEPS = st.lists(st.tuples(NAMES, st.one_of(st.none(), TARGETS, st.just(True))), max_size=12)


@given(STEPS)
def test_whatever_is_put_every_parent_is_a_directory_that_stands_before(
    steps: list[tuple[str, str | bool | None]],
) -> None:
    tree = Tree()
    for path, what in steps:
        node = a_directory() if what is True else a_file(b"") if what is None else a_link(str(what))
        try:
            tree.put(path, node)
        except ArtifactRefused:
            continue
    seen: dict[str, bool] = {"": True}
    for path, node in tree.items():
        parent = path.rpartition("/")[0]
        assert seen[parent], f"{path} is below something that is no directory"
        assert clean(path) == path
        seen[path] = node.is_directory
