"""What the API promised stays promised: the document is compared with the one that is committed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.builders.contract_changes import breaking

from volant.api.app import ROUTES
from volant.api.openapi.published import files

DOCS = Path(__file__).resolve().parents[2] / "docs"
MADE = files(ROUTES)


def test_no_change_breaks_a_client_of_the_committed_document() -> None:
    committed = json.loads((DOCS / "openapi.json").read_text())
    assert breaking(committed, json.loads(MADE["openapi.json"])) == []


def test_the_committed_files_are_those_that_the_code_makes() -> None:
    stale = [path for path, content in MADE.items() if (DOCS / path).read_text() != content]
    assert not stale, "run make schemas to refresh them"


def test_no_other_schema_is_committed() -> None:
    assert {f"schemas/{found.name}" for found in (DOCS / "schemas").iterdir()} == {p for p in MADE if "/" in p}
