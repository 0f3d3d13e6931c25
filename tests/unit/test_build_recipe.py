"""Recipes: every field is known or refused, with its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.builders.building import a_document, a_recipe

from volant.errors import Invalid
from volant.images.build.recipe import parse_recipe, read_recipe


def refusal(document: dict[str, Any]) -> str:
    """What is said about a document that is no recipe."""
    with pytest.raises(Invalid) as caught:
        parse_recipe(document, "image.toml")
    assert caught.value.message.startswith("cannot use image.toml: ")
    return caught.value.message.removeprefix("cannot use image.toml: ")


@pytest.mark.parametrize(
    ("tables", "path"),
    [
        ({"image": {"format": "vmdk"}}, "/image/format: "),
        ({"image": {"size_mb": "512"}}, "/image/size_mb: "),
        ({"image": {"sizemb": 512}}, "/image: "),
        ({"image": {"files": [{"to": "/a", "text": ""}, {"to": "b", "text": ""}]}}, "/image/files/1/to: "),
        ({"image": {"files": [{"to": "/a"}]}}, "/image/files/0: "),
        ({"image": {"files": [{"to": "/a", "text": "", "from": "x"}]}}, "/image/files/0: "),
        ({"image": {"files": [{"to": "/a", "from": "/etc/shadow"}]}}, "/image/files/0/from: "),
        ({"image": {"files": [{"to": "/a", "from": "x/../../y"}]}}, "/image/files/0/from: "),
        ({"image": {"files": [{"to": "/a", "text": "", "mode": "rwx"}]}}, "/image/files/0/mode: "),
        ({"image": {"users": [{"name": "root:x", "uid": 0}]}}, "/image/users/0/name: "),
        ({"image": {"users": [{"name": "x", "uid": 1, "home": "/a:b"}]}}, "/image/users/0/home: "),
        ({"image": {"packages": ["a"], "oci": "./x"}}, "/image/oci: "),
        ({"image": {"python_bytecode": True}}, "/image/python_bytecode: "),
        ({"image": {"links": {"usr/bin/x": "y"}}}, "/image/links"),
        ({"process": {"argv": []}}, "/process/argv: "),
        ({"process": {"argv": ["x"], "stop": "TERM"}}, "/process/stop: "),
        ({"process": {"argv": ["x"], "cwd": "srv"}}, "/process/cwd: "),
        ({"kernel": {"cmdline": "a\nb"}}, "/kernel/cmdline: "),
        ({"more": {}}, "/: "),
        ({"manifest": {"name": "Not A Name"}}, "/manifest/name: "),
        ({"manifest": {"rootfs": {}}}, "/manifest/rootfs: is written by the build"),
        ({"manifest": {"workload": {"type": "http"}}}, "/manifest/workload/port: "),
        ({"manifest": {"health_check": {"readines": {}}}}, "/manifest/health_check: "),
    ],
)
def test_a_field_that_is_wrong_is_named(tables: dict[str, Any], path: str) -> None:
    assert refusal(a_document(**tables)).startswith(path)


def test_a_recipe_has_a_disk_when_it_has_packages_and_runs_from_memory_when_it_has_none() -> None:
    assert a_recipe(image={"packages": ["netbase"]}).image.is_disk
    assert a_recipe(image={"oci": "./layout"}, process={}).image.is_disk
    assert not a_recipe().image.is_disk
    assert not a_recipe(image={"packages": ["netbase"], "kind": "memory"}).image.is_disk


def test_a_file_that_is_no_recipe_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "image.toml"
    for content, message in ((b"[image\n", "it is no TOML"), (b"\xff\xfe", "it is no TOML")):
        file.write_bytes(content)
        with pytest.raises(Invalid, match=message):
            read_recipe(file)
    with pytest.raises(Invalid, match="cannot read"):
        read_recipe(tmp_path / "missing")


def test_a_recipe_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "image.toml"
    file.write_text(
        '[manifest]\nname = "x"\nversion = "1"\n[image]\n[[image.files]]\nfrom = "app"\nto = "/srv"\n'
        '[image.links]\n"/bin/awk" = "mawk"\n[process]\nargv = ["/srv/run", "-x"]\nuser = "www-data"\n'
    )
    recipe = read_recipe(file)
    assert (recipe.image.files[0].source, recipe.image.links) == ("app", {"/bin/awk": "mawk"})
    assert (recipe.process.argv, recipe.process.user) == (("/srv/run", "-x"), "www-data")
