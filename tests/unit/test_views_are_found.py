"""Views are imported one module at a time, and `volant.model.views` knows where each is."""

from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec import Struct
from tests.builders.sources import ROOT

from volant.model import views


def test_every_view_is_where_it_is_said_to_be() -> None:
    assert sorted(views.HOMES) == sorted(views.__all__)
    for name, home in views.HOMES.items():
        found = getattr(views, name)
        assert issubclass(found, Struct)
        assert found.__module__ == f"volant.model.views.{home}"
    modules = {path.stem for path in (ROOT / "src/volant/model/views").glob("*.py")} - {"__init__"}
    assert set(views.HOMES.values()) == modules


def test_what_is_no_view_is_told_as_any_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        views.Nothing  # noqa: B018


def test_a_vm_is_read_without_knowing_deployments() -> None:
    program = "import sys; from volant.model.views import VMView; print('volant.model.deployment' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
