"""Recipes made of what the command line says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.building import BUSYBOX

from volant.errors import Invalid
from volant.images.build.quick import Asked, from_oci, from_packages, from_path

DYNAMIC = Path("/bin/ls")


def test_a_directory_is_put_at_the_root_and_called_by_its_name(tmp_path: Path) -> None:
    source = tmp_path / "My Site_2"
    source.mkdir()
    recipe, base = from_path(source, Asked(argv=("httpd", "-f"), port=8080, memory_mb=64))
    assert (base, recipe.image.files[0].source, recipe.image.files[0].to) == (source, ".", "/")
    assert recipe.manifest["name"] == "my-site-2"
    assert recipe.manifest["workload"] == {"type": "tcp", "port": 8080}
    assert recipe.manifest["resources"] == {"memory_mb": 64}
    assert recipe.process.argv == ("httpd", "-f")


def test_a_program_runs_itself_with_the_words_that_follow() -> None:
    recipe, base = from_path(BUSYBOX, Asked(argv=("sleep", "5"), name="sleeper"))
    assert base / (recipe.image.files[0].source or "") == BUSYBOX
    assert recipe.process.argv == ("/usr/local/bin/busybox", "sleep", "5")
    assert recipe.manifest["name"] == "sleeper"


def test_a_script_is_a_program(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    recipe, _ = from_path(tmp_path / "run.sh", Asked())
    assert (recipe.manifest["name"], recipe.process.argv) == ("run", ("/usr/local/bin/run.sh",))


def test_a_program_that_needs_libraries_is_refused() -> None:
    with pytest.raises(Invalid, match=r"it needs libraries\. Link it statically, or use --debian"):
        from_path(DYNAMIC, Asked())


def test_a_recipe_says_everything_itself(tmp_path: Path) -> None:
    (tmp_path / "image.toml").write_text('[manifest]\nname = "x"\nversion = "1"\n[process]\nargv = ["a"]\n')
    assert from_path(tmp_path, Asked()) == from_path(tmp_path / "image.toml", Asked())
    with pytest.raises(Invalid, match="cannot change"):
        from_path(tmp_path, Asked(port=80))


def test_packages_and_oci_images_are_called_after_themselves() -> None:
    assert from_packages(["nginx-light=1.2", "curl"], Asked(argv=("nginx",))).manifest["name"] == "nginx-light"
    assert from_oci("127.0.0.1:5000/team/App:1.2", Asked()).manifest["name"] == "app"
    assert from_oci("./images/saved.tar", Asked()).manifest["name"] == "saved"


def test_what_cannot_be_built_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="runs nothing"):
        from_packages(["netbase"], Asked())
    with pytest.raises(Invalid, match="cannot find"):
        from_path(tmp_path / "missing", Asked(argv=("x",)))
    with pytest.raises(Invalid, match="/manifest/name"):
        from_packages(["netbase"], Asked(argv=("x",), name="Not A Name"))
