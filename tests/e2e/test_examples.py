"""The examples do what their pages say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_the_demo_holds_what_it_promises() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/01_three_microvms/demo.py")],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything held" in done.stdout


@pytest.mark.e2e
@pytest.mark.gate
@pytest.mark.timeout(400)
def test_a_rolling_update_is_not_noticed() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/02_rolling_update/roll.py")],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none failed; versions 1 then 2" in done.stdout
