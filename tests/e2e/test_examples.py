"""The examples do what their pages say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def said_by(script: str, within_s: float) -> str:
    """What the script of an example prints. Fails unless it ends well in time."""
    command = [sys.executable, str(ROOT / "examples" / script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_the_demo_holds_what_it_promises() -> None:
    assert "everything held" in said_by("01_three_microvms/demo.py", 280)


@pytest.mark.e2e
@pytest.mark.gate
@pytest.mark.timeout(400)
def test_a_rolling_update_is_not_noticed() -> None:
    assert "none failed; versions 1 then 2" in said_by("02_rolling_update/roll.py", 380)
