"""Users and groups of an image."""

from __future__ import annotations

import pytest

from volant.errors import ArtifactRefused
from volant.images.build.accounts import add_user, owner, put_tables
from volant.images.build.tree import Tree, a_file


def a_tree(**files: str) -> Tree:
    """A tree with these tables and the usual ones."""
    tree = Tree()
    for name, text in files.items():
        tree.put(f"etc/{name}", a_file(text.encode()))
    put_tables(tree)
    return tree


def test_an_image_without_tables_gets_the_users_that_every_debian_has() -> None:
    tree = a_tree()
    assert owner(tree, "www-data") == (33, 33)
    assert owner(tree, "nobody:nogroup") == (65534, 65534)


def test_tables_of_the_image_stay_as_they_are() -> None:
    tree = a_tree(passwd="root:x:0:0:root:/root:/bin/sh\napp:x:7:8:::\n", group="app:x:8:\n")
    assert owner(tree, "app") == (7, 8)
    with pytest.raises(ArtifactRefused, match="cannot find the user 'www-data'"):
        owner(tree, "www-data")


def test_the_tables_that_debian_would_copy_are_taken() -> None:
    tree = Tree()
    tree.put("usr/share/base-passwd/passwd.master", a_file(b"root:*:0:0:root:/root:/bin/bash\nlp:*:7:7:::\n"))
    put_tables(tree)
    assert (tree.read("etc/passwd") or "").splitlines()[1] == "lp:x:7:7:::"


def test_an_added_user_has_a_group_of_its_own() -> None:
    tree = a_tree()
    add_user(tree, "demo", 101, 101, "/srv", "/bin/sh")
    add_user(tree, "other", 102, 33, "/", "/bin/sh")
    assert owner(tree, "demo") == (101, 101)
    assert owner(tree, "demo:demo") == (101, 101)
    assert (tree.read("etc/passwd") or "").endswith("other:x:102:33:other:/:/bin/sh\n")
    assert "other" not in (tree.read("etc/group") or "")


@pytest.mark.parametrize(("name", "uid"), [("www-data", 500), ("demo", 33)])
def test_a_name_or_a_number_is_given_once(name: str, uid: int) -> None:
    with pytest.raises(ArtifactRefused, match="the image has www-data"):
        add_user(a_tree(), name, uid, uid, "/", "/bin/sh")


def test_a_table_that_ends_in_the_middle_of_a_line_is_ended_first() -> None:
    tree = a_tree(passwd="root:x:0:0:root:/root:/bin/sh")
    add_user(tree, "demo", 9, 9, "/", "/bin/sh")
    assert owner(tree, "demo") == (9, 9)


def test_numbers_need_no_name() -> None:
    assert owner(a_tree(), "4000") == (4000, 4000)
    assert owner(a_tree(), "4000:5000") == (4000, 5000)
    assert owner(a_tree(), "") == (0, 0)
    with pytest.raises(ArtifactRefused, match="cannot find the group"):
        owner(a_tree(), "root:nobodys")
    with pytest.raises(ArtifactRefused):
        owner(a_tree(), str(1 << 32))
