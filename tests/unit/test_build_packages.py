"""Debian packages: chosen by apt, checked by their digest, unpacked as archives."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from tests.builders.building import a_deb, a_script

from volant.errors import ArtifactRefused, ArtifactUnavailable, StartupError
from volant.images.build.debian import Apt, listed
from volant.images.build.debs import put_packages
from volant.images.build.tools import Tools
from volant.images.build.tree import Tree, a_file

INST = "Inst demo (1:2.0 Debian [amd64])\nInst libdemo (3 Debian [amd64])\nConf demo (1:2.0 Debian [amd64])\n"


def a_stanza(name: str, version: str, content: bytes) -> str:
    """What apt-cache says about a package whose file is that."""
    digest = hashlib.sha256(content).hexdigest()
    said = {"Package": name, "Version": version, "Architecture": "amd64", "Size": len(content), "SHA256": digest}
    return "".join(f"{key}: {value}\n" for key, value in said.items()) + "Description: x\n Size: 9\n\n"


def an_apt(tmp_path: Path, *, get: str = "", show: str = "", inst: str = INST) -> tuple[Apt, Path]:
    """An apt that chooses two packages, and the file with what it was called with."""
    calls = tmp_path / "calls"
    (tmp_path / "inst").write_text(inst)
    (tmp_path / "shown").write_text(show or a_stanza("libdemo", "3", b"lib") + a_stanza("demo", "1:2.0", b"demo"))
    fetch = "printf demo >demo_1%3a2.0_amd64.deb; printf lib >libdemo_3_amd64.deb"
    get = get or f'case "$*" in *download*) {fetch} ;; *) cat "{tmp_path}/inst" ;; esac'
    tools = Tools(
        apt_get=a_script(tmp_path / "apt-get", f'echo "$@" >>"{calls}"\n{get}'),
        apt_cache=a_script(tmp_path / "apt-cache", f'echo "$@" >>"{calls}"\ncat "{tmp_path}/shown"'),
    )
    return Apt(tmp_path / "home", tools), calls


def test_packages_are_chosen_as_if_nothing_were_installed_and_sorted(tmp_path: Path) -> None:
    apt, calls = an_apt(tmp_path)
    packages, idle = apt.choose(["demo"])
    assert [(p.name, p.version, p.size) for p in packages] == [("demo", "1:2.0", 4), ("libdemo", "3", 3)]
    assert idle == []
    assert f"Dir::State::status={tmp_path}/home/status" in calls.read_text()
    assert (tmp_path / "home/status").read_bytes() == b""


def test_what_is_left_out_is_neither_described_nor_fetched(tmp_path: Path) -> None:
    apt, calls = an_apt(tmp_path, show=a_stanza("demo", "1:2.0", b"demo"))
    packages, idle = apt.choose(["demo"], ["lib*", "nothing*"])
    assert ([p.name for p in packages], idle) == (["demo"], ["nothing*"])
    assert "libdemo" not in calls.read_text()


@pytest.mark.parametrize("name", ["-oDir::Etc=/x", "demo-", "../demo.deb", "./demo.deb", "demo demo", "", "Demo"])
def test_a_name_that_apt_could_take_for_something_else_is_refused(tmp_path: Path, name: str) -> None:
    apt, calls = an_apt(tmp_path)
    with pytest.raises(ArtifactRefused, match="name of a Debian package"):
        apt.choose([name])
    assert not calls.exists()


def test_a_package_that_apt_does_not_know_is_one_sentence(tmp_path: Path) -> None:
    apt, _ = an_apt(tmp_path, get="echo 'E: Unable to locate package demo' >&2; exit 100")
    with pytest.raises(ArtifactRefused, match=r"Unable to locate package demo\. .*run: apt-get update"):
        apt.choose(["demo"])


def test_a_package_in_the_cache_is_not_fetched_again_unless_it_is_damaged(tmp_path: Path) -> None:
    apt, calls = an_apt(tmp_path)
    packages, _ = apt.choose(["demo"])
    seen: list[tuple[str, int, int | None]] = []
    debs = apt.fetch(packages, lambda *said: seen.append(said))
    assert [deb.read_bytes() for deb in debs] == [b"demo", b"lib"]
    assert seen[-1] == ("fetching packages", 7, 7)
    assert apt.fetch(packages) == debs
    assert calls.read_text().count("download") == 1
    debs[1].write_bytes(b"other")
    assert apt.fetch(packages)[1].read_bytes() == b"lib"
    assert calls.read_text().splitlines()[-1].endswith("download libdemo=3")


def test_a_file_with_another_digest_is_not_taken(tmp_path: Path) -> None:
    apt, _ = an_apt(tmp_path, show=a_stanza("demo", "1:2.0", b"demo") + a_stanza("libdemo", "3", b"another"))
    packages, _ = apt.choose(["demo"])
    with pytest.raises(ArtifactUnavailable, match="cannot fetch libdemo 3"):
        apt.fetch(packages)


def test_a_fetch_that_fails_says_what_apt_said(tmp_path: Path) -> None:
    said = "echo 'E: Could not resolve the host' >&2; exit 100"
    apt, _ = an_apt(tmp_path, get=f'case "$*" in *download*) {said} ;; *) cat "{tmp_path}/inst" ;; esac')
    packages, _ = apt.choose(["demo"])
    with pytest.raises(ArtifactUnavailable, match="Could not resolve the host"):
        apt.fetch(packages)


def test_a_host_without_apt_and_a_place_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="there is no"):
        Apt(tmp_path / "home", Tools(apt_get=str(tmp_path / "missing"))).choose(["demo"])
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot keep packages"):
        Apt(tmp_path / "file/home")


def test_the_list_of_packages_names_versions_and_digests(tmp_path: Path) -> None:
    packages, _ = an_apt(tmp_path)[0].choose(["demo"])
    assert listed(packages).splitlines()[0] == f"demo 1:2.0 amd64 sha256:{hashlib.sha256(b'demo').hexdigest()}"


def test_files_of_packages_keep_modes_and_go_below_usr(tmp_path: Path) -> None:
    content: dict[str, bytes | str] = {"bin/": b"", "bin/su": b"x", "usr/bin/big": b"y" * 100_000, "sbin/tool": "su"}
    deb = a_deb(tmp_path / "a.deb", content, modes={"bin/su": 0o4755})
    tree = Tree()
    put_packages(tree, [deb], tmp_path / "spool")
    nodes = dict(tree.items())
    assert stat.S_IMODE(nodes["usr/bin/su"].mode) == 0o4755
    assert nodes["usr/bin/big"].data() == b"y" * 100_000
    assert (nodes["bin"].target, nodes["usr/sbin/tool"].target) == ("usr/bin", "su")


def test_a_package_cannot_write_out_of_the_tree(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    deb = a_deb(tmp_path / "a.deb", {"evil": str(outside), "evil/x": b"1"})
    tree = Tree()
    put_packages(tree, [deb], tmp_path / "spool")
    assert not list(outside.iterdir())
    climbing = a_deb(tmp_path / "b.deb", {"../../x": b"1"})
    with pytest.raises(ArtifactRefused, match="cannot put a file called"):
        put_packages(Tree(), [climbing], tmp_path / "spool")


@pytest.mark.parametrize("content", [b"no package", b"!<arch>\n"])
def test_a_file_that_is_no_package_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.deb").write_bytes(content)
    with pytest.raises(ArtifactRefused, match=r"cannot unpack a\.deb"):
        put_packages(Tree(), [tmp_path / "a.deb"], tmp_path / "spool")


def test_a_later_package_replaces_a_file_of_an_earlier_one(tmp_path: Path) -> None:
    debs = [a_deb(tmp_path / f"{n}.deb", {"etc/x": str(n).encode() * n}) for n in (1, 2)]
    tree = Tree()
    tree.put("etc/x", a_file(b"0"))
    put_packages(tree, debs, tmp_path / "spool")
    assert tree.read("etc/x") == "22"
