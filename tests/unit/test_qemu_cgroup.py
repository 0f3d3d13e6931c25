"""Control groups: where they are made, what is written, and what is said when there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.cgroups import StandIn, a_tree

from volant.drivers.qemu.cgroup import Cgroups, find

SHARES = {"memory.max": "1048576", "memory.swap.max": "0", "pids.max": "10", "io.weight": "default 100"}


def test_a_leaf_has_its_limits_before_anybody_is_in_it(tmp_path: Path) -> None:
    """A8"""
    leaf = StandIn(tmp_path / "volant").make("vm", SHARES)
    assert {name: (leaf / name).read_text() for name in SHARES} == SHARES
    assert (leaf / "cgroup.procs").read_text() == ""


def test_only_limits_of_controllers_that_hold_are_written(tmp_path: Path) -> None:
    leaf = StandIn(tmp_path / "volant", {"pids"}).make("vm", SHARES)
    assert {name for name in SHARES if (leaf / name).read_text()} == {"pids.max"}


def test_what_not_every_kernel_has_is_left_out(tmp_path: Path) -> None:
    leaf = StandIn(tmp_path / "volant", missing=["memory.swap.max", "io.weight"]).make("vm", SHARES)
    assert (leaf / "memory.max").read_text() == SHARES["memory.max"]


def test_a_limit_that_cannot_be_set_is_no_group(tmp_path: Path) -> None:
    """A8: nothing runs in a group whose limits are not there."""
    with pytest.raises(FileNotFoundError):
        StandIn(tmp_path / "volant", missing=["memory.max"]).make("vm", SHARES)


def test_a_leaf_that_is_there_is_made_anew(tmp_path: Path) -> None:
    groups = StandIn(tmp_path / "volant")
    groups.make("vm", {"pids.max": "10"})
    assert (groups.make("vm", {}) / "pids.max").read_text() == ""


def test_removing_a_leaf_again_is_harmless(tmp_path: Path) -> None:
    groups = StandIn(tmp_path / "volant")
    leaf = groups.make("vm", SHARES)
    groups.remove("vm")
    groups.remove("vm")
    assert not leaf.exists()


def test_a_leaf_with_processes_stays(tmp_path: Path) -> None:
    """Nobody is moved out of it, and nobody is killed for it."""
    groups = StandIn(tmp_path / "volant")
    leaf = groups.make("vm", SHARES)
    (leaf / "cgroup.events").write_text("populated 1\n")
    with pytest.raises(OSError, match="busy"):
        groups.remove("vm")
    assert leaf.exists()


# Where


def test_groups_are_made_below_the_root(tmp_path: Path) -> None:
    found = find(root=a_tree(tmp_path, "volant"), own="/")
    assert isinstance(found, Cgroups)
    assert str(found) == f"memory, pids, cpu, io below {tmp_path}/volant"


def test_the_operator_may_name_another_place(tmp_path: Path) -> None:
    found = find("system.slice/vms", root=a_tree(tmp_path, "system.slice", "system.slice/vms"), own="/x")
    assert isinstance(found, Cgroups)
    assert found.parent == tmp_path / "system.slice" / "vms"


def test_where_the_root_is_not_ours_they_are_made_beside_our_own_group(tmp_path: Path) -> None:
    """That is what a service manager delegates: the daemon in one group of it, its VMs in another."""
    root = a_tree(tmp_path, "user.slice", "user.slice/volant.service", "user.slice/volant.service/volant")
    (root / "volant").write_text("not a directory: in the way, as a missing right would be")
    found = find(root=root, own="/user.slice/volant.service/daemon")
    assert isinstance(found, Cgroups)
    assert found.parent == root / "user.slice/volant.service/volant"


def test_missing_controllers_are_switched_on_at_every_level_above(tmp_path: Path) -> None:
    root = a_tree(tmp_path, "a", "a/volant", has=["pids"], passes=[])
    found = find("a/volant", root=root, own="/")
    assert isinstance(found, Cgroups)
    assert found.controllers == {"pids"}
    for group in (root, root / "a", root / "a/volant"):
        assert (group / "cgroup.subtree_control").read_text().startswith("+pids")


def test_a_host_with_other_control_groups_is_told_so(tmp_path: Path) -> None:
    said = find(root=a_tree(tmp_path, has=["hugetlb"]), own="/")
    assert said == f"none: {tmp_path} has none of the controllers memory, pids, cpu, io (they are in use by cgroup v1)"


def test_a_place_that_is_not_ours_is_told_with_what_to_do(tmp_path: Path) -> None:
    root = a_tree(tmp_path)
    (root / "volant").write_text("in the way")
    said = find(root=root, own="/")
    assert said == (
        f"none: {root}/volant: File exists. Delegate a group to the daemon, or name one with --cgroup-parent"
    )


def test_a_place_that_nobody_may_go_to_is_told(tmp_path: Path) -> None:
    """A group that somebody else made, say; that it has the controllers helps nobody."""
    root = a_tree(tmp_path, "volant")
    (root / "cgroup.procs").unlink()
    assert f"none: processes may not be put into {root}/volant by uid" in str(find(root=root, own="/"))


def test_controllers_that_do_not_reach_the_place_are_no_limits(tmp_path: Path) -> None:
    root = a_tree(tmp_path, "volant")
    for file in ("cgroup.controllers", "cgroup.subtree_control"):
        (root / "volant" / file).write_text("\n")
    assert "no controller can be switched on" in str(find(root=root, own="/"))
