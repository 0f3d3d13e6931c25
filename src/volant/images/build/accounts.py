"""Users and groups of an image: /etc/passwd and /etc/group, without a script that makes them.

An image without a table gets the few users and groups that every Debian has, with their numbers. Users that are added
have no password: nobody logs in to a guest of ours.
"""

from __future__ import annotations

from typing import Final

from volant.errors import ArtifactRefused
from volant.images.build.tree import Tree, a_file

USERS: Final = "etc/passwd"
GROUPS: Final = "etc/group"
MASTERS: Final = {USERS: "usr/share/base-passwd/passwd.master", GROUPS: "usr/share/base-passwd/group.master"}
"""Where Debian's base-passwd has the tables that its script would copy."""

TABLES: Final = {
    USERS: """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
""",
    GROUPS: """root:x:0:
daemon:x:1:
adm:x:4:
tty:x:5:
disk:x:6:
www-data:x:33:
utmp:x:43:
staff:x:50:
nogroup:x:65534:
""",
}


def put_tables(tree: Tree) -> None:
    """Have both tables in the tree; those that are there stay."""
    for path, built_in in TABLES.items():
        if tree.find(path) is None:
            tree.put(path, a_file((tree.read(MASTERS[path]) or built_in).replace(":*:", ":x:").encode()))


def add_user(tree: Tree, name: str, uid: int, gid: int, home: str, shell: str) -> None:
    """Add a user, and a group of the same name unless there is one with its number.

    Raises ArtifactRefused when the name or the number is taken.
    """
    for row in _rows(tree, USERS):
        if row[0] == name or row[2] == str(uid):
            raise ArtifactRefused(f"cannot add the user {name} ({uid}): the image has {row[0]} ({row[2]})")
    _append(tree, USERS, f"{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n")
    if not any(row[2] == str(gid) for row in _rows(tree, GROUPS)):
        _append(tree, GROUPS, f"{name}:x:{gid}:\n")


def owner(tree: Tree, who: str) -> tuple[int, int]:
    """`USER[:GROUPS]`, each a name or a number, as (uid, gid); "" is root. A user brings its group.

    Raises ArtifactRefused for a name that the image does not know.
    """
    if not who:
        return 0, 0
    user, _, group = who.partition(":")
    row = next((row for row in _rows(tree, USERS) if user in (row[0], row[2])), None)
    uid = int(row[2]) if row else _number(user, "user")
    if not group:
        return uid, int(row[3]) if row else uid
    found = next((row for row in _rows(tree, GROUPS) if group in (row[0], row[2])), None)
    return uid, int(found[2]) if found else _number(group, "group")


def _rows(tree: Tree, path: str) -> list[list[str]]:
    rows = (line.split(":") for line in (tree.read(path) or "").splitlines())
    return [row for row in rows if len(row) > 3 or (path == GROUPS and len(row) > 2)]


def _append(tree: Tree, path: str, line: str) -> None:
    said = tree.read(path) or ""
    tree.put(path, a_file((said if said.endswith("\n") or not said else said + "\n").encode() + line.encode()))


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) >= (1 << 32) - 1:
        raise ArtifactRefused(f"cannot find the {what} {text!r} in the image")
    return int(text)
