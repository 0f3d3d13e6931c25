"""The house rules are checked by tools; here the tools are checked: each contract breaks when it is violated."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

VIOLATIONS: dict[str, tuple[str, str]] = {
    "layers": ("model/meta.py", "import volant.store"),
    "controllers": ("controllers/vm/plan.py", "import volant.controllers.deployment"),
    "adapters": ("controllers/vm/reconciler.py", "import volant.drivers.qemu"),
    "api-writes-specs": ("api/app.py", "import volant.drivers"),
    "sync-applies-as-everybody": ("gitops/turn.py", "import volant.store"),
    "pure": ("controllers/vm/plan.py", "import time"),
    "acyclic": ("model/meta.py", "import volant.model.vm"),
    "peewee": ("api/app.py", "import peewee"),
    "pyroute2": ("drivers/user.py", "import pyroute2"),
    "psutil": ("api/app.py", "import psutil"),
    "starlette": ("store/store.py", "import starlette"),
    "uvicorn": ("api/app.py", "import uvicorn"),
    "structlog": ("store/store.py", "import structlog"),
    "qemu": ("drivers/user.py", "import qemu.qmp"),
    "click": ("store/store.py", "import click"),
    "rich": ("store/store.py", "import rich"),
    "httpx2": ("store/store.py", "import httpx2"),
    "pycdlib": ("daemon/guests.py", "import pycdlib"),
    "yaml": ("store/store.py", "import yaml"),
}


def lint(tree: Path, contract: str) -> subprocess.CompletedProcess[str]:
    """Run one contract over a tree that holds `src/volant` and `pyproject.toml`."""
    command = [
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as c; c()",
    ]
    command += ["--no-cache", "--contract", contract]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=100, check=False)


def test_every_contract_has_a_violation_here() -> None:
    assert {c["id"] for c in CONTRACTS} == set(VIOLATIONS)


@pytest.mark.parametrize("contract", sorted(VIOLATIONS))
def test_a_contract_breaks_when_it_is_violated(contract: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    kept = lint(tmp_path, contract)
    assert kept.returncode == 0, kept.stdout + kept.stderr
    file, line = VIOLATIONS[contract]
    target = tmp_path / "src" / "volant" / file
    target.write_text(target.read_text() + f"\n{line}\n")
    broken = lint(tmp_path, contract)
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "BROKEN" in broken.stdout
