"""Builds from a source to a manifest that installs: directory, program, packages, OCI image; as root and as nobody."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from tests.builders.building import (
    BUSYBOX,
    NOBODY,
    a_host,
    a_recipe,
    a_script,
    as_nobody,
    check_disk,
    content_on_disk,
    on_disk,
    raw_disk,
)
from tests.builders.oci import a_directory, a_file, an_image, layer
from tests.builders.toolchains import package_lists

from volant.errors import ArtifactRefused, Invalid, StartupError
from volant.images.build import Built, Host, Recipe, build
from volant.images.build.bytecode import put_bytecode
from volant.images.build.debian import Apt
from volant.images.build.debs import put_packages
from volant.images.build.quick import Asked, from_path
from volant.images.build.tools import Tools
from volant.images.build.tree import Tree
from volant.images.build.tree import a_file as text_file
from volant.model.plugin import Manifest, parse_checksum

PACKAGE = "netbase"
"""Small, and needs no other."""


def built(tmp_path: Path, recipe: Recipe, *, base: Path | None = None, out: str = "out", **host: Any) -> Built:
    """Build it."""
    return build(recipe, base or tmp_path, tmp_path / out, a_host(tmp_path, **host))


def digests(folder: Path) -> dict[str, str]:
    """Of every file that a build has left."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def in_memory(archive: Path, name: str, tmp_path: Path) -> str:
    """The text of a file of an initramfs."""
    root = tmp_path / "unpacked"
    root.mkdir(exist_ok=True)
    data = gzip.decompress(archive.read_bytes())
    subprocess.run([BUSYBOX, "cpio", "-idu", name], input=data, cwd=root, check=True, capture_output=True, timeout=60)
    return (root / name).read_text()


def site(tmp_path: Path) -> Path:
    """A directory with one page."""
    (tmp_path / "site/srv").mkdir(parents=True)
    (tmp_path / "site/srv/index.html").write_text("<h1>page</h1>")
    return tmp_path / "site"


def test_a_directory_becomes_a_guest_that_runs_from_memory(tmp_path: Path) -> None:
    recipe, base = from_path(site(tmp_path), Asked(argv=("httpd", "-f", "-h", "/srv"), port=80, memory_mb=64))
    result = built(tmp_path, recipe, base=base)
    archive = tmp_path / "out/site.initramfs.gz"
    assert in_memory(archive, "srv/index.html", tmp_path) == "<h1>page</h1>"
    assert "argv httpd\nargv -f\n" in in_memory(archive, "volant/workload", tmp_path)
    assert result.manifest == tmp_path / "out/site.json"
    assert sorted(digests(tmp_path / "out")) == ["site.initramfs.gz", "site.json", "vmlinuz-6.1.0-1-cloud-amd64"]


def test_a_program_becomes_a_guest_that_runs_it(tmp_path: Path) -> None:
    recipe, base = from_path(BUSYBOX, Asked(argv=("sleep", "5")))
    built(tmp_path, recipe, base=base)
    archive = tmp_path / "out/busybox.initramfs.gz"
    assert "argv /usr/local/bin/busybox\n" in in_memory(archive, "volant/workload", tmp_path)


def test_the_manifest_is_one_that_volant_takes_and_names_the_files_beside_it(tmp_path: Path) -> None:
    said = {"workload": {"type": "http", "port": 80}, "health_check": {"readiness": {"period_s": 2}}}
    recipe = a_recipe(manifest=said, image={"kind": "disk"}, kernel={"cmdline": "loglevel=3"})
    manifest = msgspec.json.decode(built(tmp_path, recipe, out="with space").manifest.read_bytes(), type=Manifest)
    assert set(manifest.sources()) == {"kernel", "initramfs", "rootfs"}
    assert manifest.rootfs is not None and manifest.rootfs.format == "qcow2"
    assert manifest.kernel is not None and manifest.kernel.cmdline.endswith(" loglevel=3")
    assert manifest.workload.port == 80
    for source in manifest.sources().values():
        path = Path(unquote(urlsplit(source.url).path))
        assert path.parent == tmp_path / "with space"
        assert parse_checksum(source.checksum or "") == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_recipe_is_a_disk_with_its_users_directories_files_and_links(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main").write_text("#!/bin/sh\n")
    (tmp_path / "app/main").chmod(0o700)
    image = {
        "kind": "disk",
        "format": "raw",
        "users": [{"name": "demo", "uid": 101, "home": "/srv"}],
        "directories": [{"path": "/var/lib/demo", "mode": "0750", "owner": "demo"}],
        "files": [
            {"from": "app", "to": "/srv/app", "owner": "demo"},
            {"to": "/etc/motd", "text": "hi", "mode": "0600"},
        ],
        "links": {"/usr/bin/demo": "/srv/app/main"},
    }
    process = {"argv": ["/srv/app/main"], "user": "demo", "stop": "SIGINT", "env": {"A": "b c"}, "before": ["true"]}
    built(tmp_path, a_recipe(image=image, process=process))
    disk = tmp_path / "out/demo.img"
    check_disk(disk)
    assert "User:   101   Group:   101" in on_disk(disk, "/srv/app/main")
    assert "Mode:  0755" in on_disk(disk, "/srv/app/main")
    assert "Mode:  0750" in on_disk(disk, "/var/lib/demo")
    assert "Mode:  0600" in on_disk(disk, "/etc/motd")
    assert content_on_disk(disk, "/etc/passwd").endswith("demo:x:101:101:demo:/srv:/usr/sbin/nologin\n")
    workload = content_on_disk(disk, "/volant/workload")
    assert workload == "env 'A=b c'\nuser demo\ncwd /\nstop SIGINT\nbefore true\nargv /srv/app/main\n"
    assert "Type: regular" in on_disk(disk, "/volant/init")


def test_an_oci_image_is_a_disk_with_its_owners_and_its_process(tmp_path: Path) -> None:
    base = layer(
        a_directory("app/"),
        a_file("app/run", b"#!", mode=0o4755, uid=7, gid=8),
        a_file("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:7:8::/app:/bin/sh\n"),
    )
    said: dict[str, Any] = {
        "Entrypoint": ["/app/run"],
        "Cmd": ["-x"],
        "User": "app",
        "WorkingDir": "/app",
        "StopSignal": "SIGQUIT",
    }
    said |= {"Env": ["PATH=/app"], "ExposedPorts": {"8080/tcp": {}}}
    an_image(base, said=said).layout(tmp_path / "layout")
    recipe = a_recipe(image={"oci": "./layout", "format": "raw"}, process={})
    result = built(tmp_path, recipe)
    disk = tmp_path / "out/demo.img"
    assert "Mode:  04755" in on_disk(disk, "/app/run")
    assert "User:     7   Group:     8" in on_disk(disk, "/app/run")
    workload = "env PATH=/app\nuser 7:8\ncwd /app\nstop SIGQUIT\nargv /app/run\nargv -x\n"
    assert content_on_disk(disk, "/volant/workload") == workload
    assert result.content["workload"] == {"type": "tcp", "port": 8080}
    other = a_recipe(image={"oci": "./layout", "kind": "memory"}, process={"argv": ["/app/run"], "user": "root"})
    built(tmp_path, other, out="memory")
    archive = tmp_path / "memory/demo.initramfs.gz"
    assert "user root\n" in in_memory(archive, "volant/workload", tmp_path)


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_building_again_changes_nothing(tmp_path: Path, kind: str) -> None:
    site(tmp_path)
    recipe = a_recipe(image={"kind": kind, "files": [{"from": "site", "to": "/srv"}]})
    first = built(tmp_path, recipe)
    before = digests(tmp_path / "out")
    assert built(tmp_path, recipe) == first
    assert digests(tmp_path / "out") == before


def test_another_time_is_another_disk(tmp_path: Path) -> None:
    recipe = a_recipe(image={"kind": "disk"})
    one = built(tmp_path, recipe, out="one").content["rootfs"]["checksum"]
    assert built(tmp_path, recipe, out="two", epoch=1).content["rootfs"]["checksum"] != one


def test_a_build_that_fails_leaves_the_last_one(tmp_path: Path) -> None:
    recipe = a_recipe(image={"kind": "disk"})
    built(tmp_path, recipe)
    before = digests(tmp_path / "out")
    failing = Tools(qemu_img=a_script(tmp_path / "qemu-img", "exit 1"))
    with pytest.raises(StartupError):
        built(tmp_path, recipe, tools=failing)
    assert digests(tmp_path / "out") == before


def test_what_a_killed_build_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "out/.build-demo-x").mkdir(parents=True)
    (tmp_path / "out/.build-other-x").mkdir()
    built(tmp_path, a_recipe())
    assert [path.name for path in (tmp_path / "out").glob(".build-*")] == [".build-other-x"]


def test_a_build_that_runs_keeps_its_work_while_another_begins(tmp_path: Path) -> None:
    work = tmp_path / "out/.build-demo-x"
    work.mkdir(parents=True)
    descriptor = os.open(work, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    built(tmp_path, a_recipe())
    assert work.exists()
    os.close(descriptor)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"process": {"argv": ["/srv/missing"]}}, "cannot build an image that runs /srv/missing"),
        ({"process": {"argv": ["true"], "user": "nobodys"}}, "cannot find the user 'nobodys'"),
        ({"image": {"files": [{"from": "missing", "to": "/x"}]}}, "/image/files/0/from"),
        ({"image": {"directories": [{"path": "/x", "owner": "who"}]}}, "cannot find the user 'who'"),
        ({"image": {"users": [{"name": "x", "uid": 0}]}}, "cannot add the user x"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(tmp_path: Path, tables: dict[str, Any], message: str) -> None:
    with pytest.raises((ArtifactRefused, Invalid), match=message):
        built(tmp_path, a_recipe(**tables))
    assert not list((tmp_path / "out").iterdir())


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot build demo in"):
        built(tmp_path, a_recipe(), out="file/out")


def test_patterns_that_do_nothing_are_said(tmp_path: Path) -> None:
    assert built(tmp_path, a_recipe(image={"remove": ["/nothing/*"]})).notes == (
        "/image/remove: /nothing/* takes nothing away",
    )


@pytest.fixture
def common_place() -> Iterator[Path]:
    """A directory that root and nobody may write."""
    place = Path(tempfile.mkdtemp(prefix="volant-build-"))
    place.chmod(0o777)
    yield place
    shutil.rmtree(place)


def test_a_debian_package_becomes_the_same_disk_for_root_and_for_nobody(common_place: Path) -> None:
    package_lists()
    image = {"packages": [PACKAGE], "users": [{"name": "demo", "uid": 5}], "size_mb": 16}
    image |= {"directories": [{"path": "/var/lib/demo", "mode": "0700", "owner": "demo"}]}
    recipe, host = a_recipe(image=image, process={"argv": ["cat", "/etc/services"]}), a_host(common_place)

    def as_whoever(name: str) -> None:
        own = Host(kernel=host.kernel, busybox=BUSYBOX, packages=common_place / name / "packages")
        (common_place / name).mkdir()
        build(recipe, common_place, common_place / name / "out", own)

    as_whoever("one")
    as_nobody(lambda: as_whoever("nobodys"))
    disk = raw_disk(common_place / "one/out/demo.qcow2", common_place / "raw")
    check_disk(disk)
    assert "Mode:  0700" in on_disk(disk, "/var/lib/demo")
    assert "http" in content_on_disk(disk, "/etc/services")
    assert (common_place / "one/out/demo.packages").read_text().startswith(f"{PACKAGE} ")
    one, nobodys = common_place / "one/out", common_place / "nobodys/out"
    owner = (nobodys / "demo.json").stat().st_uid
    assert owner == (NOBODY if os.geteuid() == 0 else os.geteuid())
    assert {n: d for n, d in digests(one).items() if n != "demo.json"} == {
        n: d for n, d in digests(nobodys).items() if n != "demo.json"
    }
    checksums = [json.loads((out / "demo.json").read_text())["rootfs"]["checksum"] for out in (one, nobodys)]
    assert checksums[0] == checksums[1]


def test_python_is_compiled_by_the_images_own_interpreter_and_the_same_every_time(tmp_path: Path) -> None:
    package_lists()
    apt = Apt(tmp_path / "packages")
    packages, _ = apt.choose(["python3-minimal"], ["dpkg", "tar", "libssl3", "libzstd1"])
    tree = Tree()
    put_packages(tree, apt.fetch(packages), tmp_path / "spool")
    tree.put("srv/app/main.py", text_file(b"x = {1, 2, 3}\n"))
    tree.put("srv/app/broken.py", text_file(b"def\n"))
    made = []
    for _ in range(2):
        put_bytecode(tree, tmp_path, 1)
        made.append({path: node.data() for path, node in tree.items() if path.endswith(".pyc")})
    assert made[0] == made[1]
    compiled = next(data for path, data in made[0].items() if path.startswith("srv/app/__pycache__/main."))
    assert int.from_bytes(compiled[4:8], "little") == 1, "checked against its source at every start"
    assert tmp_path.name.encode() not in compiled
    assert not any("broken" in path for path in made[0])


def test_an_image_without_python_compiles_none(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match="the image has no python3"):
        put_bytecode(Tree(), tmp_path, 1)
