"""Layers that want out of their directory, or to take all there is: C7 and C8."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.builders.oci import a_device, a_directory, a_file, a_hard_link, a_link, an_image, digest_of, layer

from volant.errors import ArtifactError, ArtifactRefused, ArtifactUnavailable
from volant.images.oci import Limits, Unpacked, unpack

Entry = tuple[tarfile.TarInfo, bytes]
SECRET = b"of the host"


def put(tmp_path: Path, *layers: bytes, limits: Limits | None = None) -> tuple[Unpacked, Path]:
    """Unpack an image of the layers; what it is, and its tree."""
    source = an_image(*layers).layout(tmp_path / "image")
    into = tmp_path / "root"
    return unpack(source, into, limits=limits or Limits()), into


def refused(tmp_path: Path, *layers: bytes, limits: Limits | None = None) -> str:
    """Why the image is refused. Nothing of it stays."""
    with pytest.raises(ArtifactRefused) as caught:
        put(tmp_path, *layers, limits=limits)
    assert list((tmp_path / "root").iterdir()) == []
    return caught.value.message


def tree_of(root: Path) -> dict[str, str]:
    """Every path below: "/" for a directory, "-> x" for a link, the content of a file."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host beside the tree, which no image may change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(SECRET)
    return tmp_path / "outside"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "a/..", "..", "./../x"])
def test_a_name_that_leads_upwards_is_refused(tmp_path: Path, name: str) -> None:
    """C8: `..` in a name."""
    assert "leads upwards" in refused(tmp_path, layer(a_file(name, b"x")))
    assert not (tmp_path / "x").exists()


def test_an_absolute_name_is_one_inside_the_image(tmp_path: Path) -> None:
    """C8: `/etc/x` is the guest's, not the host's."""
    _, root = put(tmp_path, layer(a_file("//volant-test/passwd", b"guest")))
    assert tree_of(root) == {"volant-test": "/", "volant-test/passwd": "guest"}
    assert not Path("/volant-test").exists()


@pytest.mark.parametrize("target", ["{outside}", "../outside", "../../../../../..{outside}"])
def test_nothing_is_written_through_a_link_that_leads_out(tmp_path: Path, outside: Path, target: str) -> None:
    """C8: a link, then a file below it, in one layer and in two. It is resolved inside, as the guest would."""
    evil = a_link("evil", target.format(outside=outside))
    _, root = put(tmp_path, layer(evil, a_file("evil/secret", b"guest")), layer(a_file("evil/more", b"guest")))
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == SECRET
    inside = [path for path in root.rglob("secret") if not path.is_symlink()]
    assert [path.read_bytes() for path in inside if path.is_file()][-1:] == [b"guest"]


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path: Path, outside: Path) -> None:
    """C8: `x -> outside/secret`, then a file `x`; and a directory where a link to a directory was."""
    _, root = put(
        tmp_path,
        layer(a_link("x", str(outside / "secret")), a_file("x", b"guest")),
        layer(a_link("d", str(outside)), a_directory("d"), a_file("d/f", b"guest")),
    )
    assert (outside / "secret").read_bytes() == SECRET
    assert tree_of(root) == {"d": "/", "d/f": "guest", "x": "guest"}


def test_links_that_images_use_lead_where_they_would_in_the_guest(tmp_path: Path) -> None:
    """`var/run -> /run` and `lib -> usr/lib` are what images are made of."""
    _, root = put(
        tmp_path,
        layer(a_directory("run"), a_link("var/run", "/run"), a_link("lib", "usr/lib"), a_link("l/l", "../../../run")),
        layer(a_file("var/run/pid", b"1"), a_file("lib/so", b"2"), a_file("l/l/lock", b"3")),
    )
    assert tree_of(root)["run/pid"] == "1"
    assert tree_of(root)["usr/lib/so"] == "2"
    assert tree_of(root)["run/lock"] == "3"


def test_links_in_a_circle_and_files_as_directories_are_refused(tmp_path: Path) -> None:
    """C8: a resolution without an end, and one through a file."""
    assert "circle" in refused(tmp_path, layer(a_link("a", "b"), a_link("b", "a"), a_file("a/x")))
    assert "is a file" in refused(tmp_path, layer(a_file("a"), a_file("a/x")))


def test_a_path_through_links_of_many_parts_is_refused(tmp_path: Path) -> None:
    """C8: ten links, each through the one before it many times over, would be walked for ever."""
    links = [a_link(f"l{at}", "/".join([f"l{at - 1}/.."] * 30) if at else "d") for at in range(10)]
    assert "too many" in refused(tmp_path, layer(a_directory("d"), *links, a_file("l9/x")))


@pytest.mark.parametrize("target", ["../outside/secret", "{outside}/secret", "evil/secret", "missing", "dir", "/", ""])
def test_a_hard_link_leads_to_a_file_of_the_image_or_is_refused(tmp_path: Path, outside: Path, target: str) -> None:
    """C8: a hard link to a file of the host would be the host's file in the tree."""
    entries = (a_link("evil", str(outside)), a_directory("dir"), a_hard_link("x", target.format(outside=outside)))
    assert refused(tmp_path, layer(*entries))
    assert (outside / "secret").stat().st_nlink == 1


def test_a_hard_link_is_one_file_with_two_names(tmp_path: Path) -> None:
    """And a third name that is written anew later leaves the other two alone."""
    unpacked, root = put(
        tmp_path,
        layer(a_file("bin/a", b"1", mode=0o4755, uid=3), a_hard_link("bin/b", "bin/a"), a_hard_link("c", "/bin/a")),
        layer(a_file("c", b"2")),
    )
    assert (root / "bin/a").stat().st_ino == (root / "bin/b").stat().st_ino
    assert tree_of(root) == {"bin": "/", "bin/a": "1", "bin/b": "1", "c": "2"}
    assert unpacked.attributes["bin/b"] == unpacked.attributes["bin/a"]
    assert (unpacked.attributes["bin/a"].mode, unpacked.attributes["bin/a"].uid) == (0o4755, 3)


def test_a_directory_is_not_replaced_by_a_link_to_what_is_in_it(tmp_path: Path) -> None:
    """C8: the file that is linked to goes with the directory that the link is to replace."""
    assert refused(tmp_path, layer(a_file("d/f", b"x"), a_hard_link("d", "d/f")))


def test_devices_and_pipes_are_left_out_and_counted(tmp_path: Path) -> None:
    """C8: no node is made, whoever unpacks."""
    nodes = [a_device("null"), a_device("sda", tarfile.BLKTYPE), a_device("fifo", tarfile.FIFOTYPE)]
    unpacked, root = put(tmp_path, layer(*nodes, a_file("f")))
    assert tree_of(root) == {"f": ""}
    assert unpacked.left_out["devices"] == 3


def test_set_id_bits_and_owners_are_in_the_list_and_not_on_the_host(tmp_path: Path) -> None:
    """C8: kept for the guest; on the host the file is an ordinary one of whoever builds."""
    unpacked, root = put(
        tmp_path,
        layer(
            a_directory(".", mode=0o751, uid=5, gid=6),
            a_directory("tmp", mode=0o1777),
            a_file("bin/su", b"elf", mode=0o6755, uid=0, gid=42),
            a_file("secret", b"", mode=0o000, uid=70000, gid=4294967294),
        ),
    )
    said = {path: (a.mode, a.uid, a.gid) for path, a in unpacked.attributes.items()}
    assert said == {
        ".": (0o751, 5, 6),
        "tmp": (0o1777, 0, 0),
        "bin": (0o755, 0, 0),
        "bin/su": (0o6755, 0, 42),
        "secret": (0, 70000, 4294967294),
    }
    for path in (root, *root.rglob("*")):
        found = path.lstat()
        assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID)
        assert (found.st_uid, found.st_gid) == (os.getuid(), root.stat().st_gid)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_the_last_of_duplicate_entries_holds(tmp_path: Path) -> None:
    """C8: of any two kinds."""
    twice = layer(a_file("x", b"1"), a_file("x", b"22", mode=0o600), a_directory("y"), a_file("y/f"), a_file("y", b"3"))
    unpacked, root = put(tmp_path, twice)
    assert tree_of(root) == {"x": "22", "y": "3"}
    assert set(unpacked.attributes) == {".", "x", "y"}
    assert unpacked.attributes["x"].mode == 0o600


def test_whiteouts_remove_what_lower_layers_have(tmp_path: Path) -> None:
    """A file, a whole directory, one that is made anew, and one that was never there."""
    below = layer(a_file("a"), a_file("d/x"), a_file("e/x"), a_file("keep"))
    above = layer(a_file(".wh.a"), a_file(".wh.d"), a_file("e/y"), a_file(".wh.e"), a_file("no/.wh.x"))
    unpacked, root = put(tmp_path, below, above)
    assert tree_of(root) == {"e": "/", "e/y": "", "keep": ""}
    assert set(unpacked.attributes) == {".", "e", "e/y", "keep"}


def test_an_opaque_directory_loses_what_lower_layers_have_and_nothing_else(tmp_path: Path) -> None:
    """Wherever in the layer the mark stands; and at the root."""
    below = layer(a_file("d/x"), a_file("d/s/x"), a_file("d/s/z"), a_file("f"))
    above = layer(a_file("d/s/y"), a_file("d/.wh..wh..opq"), a_file("d/z"), a_file("d/.wh..wh.plnk/1"))
    _, root = put(tmp_path, below, above)
    assert tree_of(root) == {"d": "/", "d/s": "/", "d/s/y": "", "d/z": "", "f": ""}


def test_a_whiteout_at_the_root_leaves_the_root(tmp_path: Path) -> None:
    """The whole lower image goes, the directory stays."""
    _, root = put(tmp_path, layer(a_file("d/x"), a_file("y")), layer(a_file(".wh..wh..opq"), a_file("z")))
    assert tree_of(root) == {"z": ""}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh...", "d/.wh.."])
def test_a_whiteout_of_no_entry_is_refused(tmp_path: Path, outside: Path, name: str) -> None:
    """C8: `.wh...` would remove the directory above."""
    assert refused(tmp_path, layer(a_directory("d"), a_file(name)))
    assert outside.exists()


def test_a_whiteout_through_a_link_removes_inside_only(tmp_path: Path, outside: Path) -> None:
    """C8: `evil -> outside`, then `evil/.wh.secret` and an opaque mark."""
    evil = a_link("evil", str(outside))
    put(tmp_path, layer(evil), layer(a_file("evil/.wh.secret"), a_file("evil/.wh..wh..opq"), a_file(".wh.evil")))
    assert (outside / "secret").read_bytes() == SECRET


def test_removing_a_tree_follows_no_link_in_it(tmp_path: Path, outside: Path) -> None:
    """C8: a directory with a link in it is replaced by a file."""
    put(tmp_path, layer(a_link("d/evil", str(outside)), a_file("d/f"), a_file("d", b"now a file")))
    assert (outside / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("name", ["a\nb", "a\x7f", "a\x1b[2J", "x" * 256, "/".join("x" * 4000)])
def test_names_that_no_list_can_carry_are_refused(tmp_path: Path, name: str) -> None:
    """Control characters, and names that are too long, as a name and as where a link leads."""
    assert refused(tmp_path, layer(a_file(name)))
    assert refused(tmp_path, layer(a_file("a"), a_link("l", name), a_file("l/x")))


def test_directories_are_not_deeper_than_can_be_walked(tmp_path: Path) -> None:
    """C8: every level costs a descriptor, and removing it another."""
    assert "deeper" in refused(tmp_path, layer(a_file("/".join(["d"] * 200))))


def test_a_layer_that_grows_a_thousandfold_is_refused(tmp_path: Path) -> None:
    """C7: gzip at its best ratio."""
    bomb = layer(a_file("zeros", bytes(64 << 20)))
    assert len(gzip.compress(bomb)) < 80_000
    assert "grows to more" in refused(tmp_path, bomb, limits=Limits(slack_bytes=1 << 20))


def test_all_layers_together_are_bounded(tmp_path: Path) -> None:
    """C7: no layer is too large, the image is."""
    layers = [layer(a_file("x", os.urandom(600_000))) for _ in range(3)]
    assert "grows to more" in refused(tmp_path, *layers, limits=Limits(max_bytes=1 << 20))


def test_more_entries_than_may_be_are_refused(tmp_path: Path) -> None:
    """C8: a million empty files are no bytes and a million inodes."""
    many = layer(*(a_file(f"{number}") for number in range(2000)))
    assert "entries" in refused(tmp_path, many, limits=Limits(max_entries=1000))


def test_a_disk_is_not_filled(tmp_path: Path) -> None:
    """C7: what the operator wants to keep free stays free."""
    with pytest.raises(ArtifactUnavailable, match="room"):
        put(tmp_path, layer(a_file("x", b"x")), limits=Limits(keep_free_bytes=1 << 60))
    assert list((tmp_path / "root").iterdir()) == []


def test_a_huge_extended_header_is_refused_by_its_size(tmp_path: Path) -> None:
    """C7: it would have to be in memory as a whole."""
    info = tarfile.TarInfo("x")
    info.pax_headers = {"comment": "x" * (2 << 20)}
    assert "header" in refused(tmp_path, layer((info, b"")))


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    """C7: an exabyte in a hundred bytes."""
    info = tarfile.TarInfo("x")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(1 << 60)}
    assert "sparse" in refused(tmp_path, layer((info, b"")))


NAMES = st.sampled_from(
    ["a", "b", "a/b", "a/b/c", "b/a", "../a", "/a", ".wh.a", "a/.wh.b", "a/.wh..wh..opq", ".wh..wh..opq"]
)
TARGETS = st.sampled_from(["a", "b", "a/b", "..", "../..", "../outside", "/a", "/", ".", "OUT", "OUT/secret"])
MAKERS: st.SearchStrategy[Callable[[str, str], Entry]] = st.sampled_from(
    [
        lambda name, _: a_file(name, b"guest"),
        lambda name, _: a_directory(name),
        a_link,
        a_link,
        a_hard_link,
    ]
)
LAYERS = st.lists(st.lists(st.tuples(MAKERS, NAMES, TARGETS), max_size=8), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=LAYERS)
def test_whatever_an_image_does_the_host_stays_as_it_is(
    recipe: list[list[tuple[Callable[[str, str], Entry], str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """C8: links, whiteouts, duplicates and hard links in any order; refused or not, nothing outside is touched."""
    home = tmp_path_factory.mktemp("oci")
    (home / "outside").mkdir()
    (home / "outside" / "secret").write_bytes(SECRET)
    tars = [
        layer(*(make(name, target.replace("OUT", str(home / "outside"))) for make, name, target in entries))
        for entries in recipe
    ]
    source = an_image(*tars, packed="").layout(home / "image")
    try:
        unpacked = unpack(source, home / "root")
    except ArtifactError:
        assert list((home / "root").iterdir()) == []
    else:
        assert set(unpacked.attributes) == {".", *tree_paths(home / "root")}
    assert sorted(path.name for path in home.iterdir()) == ["image", "outside", "root"]
    assert [path.name for path in (home / "outside").iterdir()] == ["secret"]
    assert (home / "outside" / "secret").read_bytes() == SECRET
    assert (home / "outside" / "secret").stat().st_nlink == 1


def tree_paths(root: Path) -> set[str]:
    """Every path below the root; links are not followed."""
    return {
        str(Path(folder, name).relative_to(root)) for folder, dirs, files in os.walk(root) for name in (*dirs, *files)
    }


def test_a_layer_that_is_not_what_the_config_says_is_refused(tmp_path: Path) -> None:
    """C9: the digest of the packed layer is right, that of the unpacked one is not."""
    image = an_image(layer(a_file("x", b"1")))
    other = an_image(layer(a_file("x", b"2")))
    config = image.config.replace(digest_of(image.tars[0]).encode(), digest_of(other.tars[0]).encode())
    source = image.docker_save(tmp_path / "image.tar")
    assert unpack(source, tmp_path / "fine").attributes["x"].mode == 0o644
    image.config = config
    with pytest.raises(ArtifactRefused, match="digest"):
        unpack(image.docker_save(tmp_path / "image.tar"), tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []
