"""The documents list what the code has: a new event type, setting or decision that is not written down fails here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from volant.config import Settings, variable
from volant.model.event import REFERENCE_VM_EVENTS, EventType

ROOT = Path(__file__).resolve().parents[2]


def test_every_event_type_is_in_the_table_of_events() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \|.*\| (yes)? ?\|$", (ROOT / "docs/events.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == set(get_args(EventType))
    assert {name for name, shown in rows if shown} == REFERENCE_VM_EVENTS


def test_every_setting_is_in_the_table_of_settings() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    missing = [name for name in Settings.__struct_fields__ if f"`--{name.replace('_', '-')}`" not in text]
    missing += [variable(name) for name in Settings.__struct_fields__ if f"`{variable(name)}`" not in text]
    assert not missing


def test_every_link_of_the_documents_leads_somewhere() -> None:
    broken = []
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert not broken
