"""Clients that were made of the OpenAPI document live through the life of a deployment, checking what they are told."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from tests.builders.toolchains import ROOT, npm_packages, require
from tests.conformance.generated import LIVES, SEEN, target

pytestmark = pytest.mark.gate

TYPESCRIPT = ("openapi-typescript@7", "openapi-fetch@0.17", "typescript@5")
OPTIONS = ["--strict", "--noEmitOnError", "--skipLibCheck", "--target", "es2022"]
OPTIONS += ["--module", "nodenext", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"]


def test_a_python_client_lives_a_life(tmp_path: Path) -> None:
    """By openapi-generator, with pydantic looking at every answer."""
    with target(tmp_path) as world:
        made = world.generate("python", "--package-name", "volant_client")
        seen = world.live(sys.executable, "-W", "error", str(LIVES / "life.py"), PYTHONPATH=str(made))
    assert seen == SEEN


@pytest.mark.timeout(300)
def test_a_go_client_lives_a_life(tmp_path: Path) -> None:
    """By openapi-generator; it needs nothing but Go's own library."""
    go = str(require("go"))
    # Kept between runs: a Go without its compiled standard library takes a minute to make it.
    environ = {"GOCACHE": str(ROOT / ".cache" / "go"), "GOPATH": str(tmp_path / "gopath"), "GOTOOLCHAIN": "local"}
    module = ("--git-host", "volant.test", "--git-user-id", "clients", "--git-repo-id", "volant")
    with target(tmp_path) as world:
        made = world.generate("go", "--package-name", "volant", *module)
        (made / "life").mkdir()
        shutil.copy(LIVES / "life.go", made / "life")
        world.run(go, "build", "-o", str(tmp_path / "a-life"), "./life", where=made, GOFLAGS="-mod=mod", **environ)
        seen = world.live(str(tmp_path / "a-life"))
    assert seen == SEEN


@pytest.mark.parametrize("version", ["3.0", "3.1"])
def test_a_typescript_client_lives_a_life(tmp_path: Path, version: str) -> None:
    """By openapi-typescript; the compiler looks at every field."""
    node = str(require("node"))
    modules = npm_packages(*TYPESCRIPT)
    made = tmp_path / "typescript"
    made.mkdir()
    (made / "node_modules").symlink_to(modules)
    (made / "package.json").write_text(json.dumps({"type": "module"}))
    shutil.copy(LIVES / "life.ts", made)
    with target(tmp_path) as world:
        tool = str(modules / "openapi-typescript" / "bin" / "cli.js")
        # What has a default may be left out of a request.
        flags = ["--default-non-nullable=false", "--output", str(made / "schema.ts")]
        world.run(node, tool, str(world.document(version)), *flags, where=made)
        world.run(node, str(modules / "typescript" / "bin" / "tsc"), *OPTIONS, "life.ts", where=made)
        seen = world.live(node, str(made / "life.js"))
    assert seen == SEEN
