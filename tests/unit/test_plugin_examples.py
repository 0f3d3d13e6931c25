"""The files in examples/plugins are what the API takes and what builds images reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.plugins import EXAMPLES

from volant.images.build.recipe import RECIPE, read_recipe
from volant.manifests import check, read

MANIFESTS = sorted(EXAMPLES.glob("*/*.yaml"))
RECIPES = sorted(EXAMPLES.glob(f"*/{RECIPE}"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_manifest_is_one_that_can_be_applied(path: Path) -> None:
    """For the plugin beside which it stands."""
    reading = read([str(path)], lambda: b"")
    assert not reading.flaws
    assert not check(reading.said)
    (said,) = reading.said
    assert said.value["spec"]["plugin"] == path.parent.name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_every_recipe_can_be_read_and_its_guests_say_whether_they_are_well(path: Path) -> None:
    """The plugin is called as its directory is, and so is what is in the README."""
    recipe = read_recipe(path)
    assert recipe.manifest["name"] == path.parent.name
    assert recipe.manifest["health_check"]["startup"]
    assert f"`{path.parent.name}`" in (EXAMPLES / "README.md").read_text()


def test_there_are_the_plugins_that_the_reference_names() -> None:
    """nginx-alpine, postgres and user-api."""
    assert [path.parent.name for path in RECIPES] == ["nginx-alpine", "postgres", "user-api"]
