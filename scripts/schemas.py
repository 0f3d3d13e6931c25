"""Write what is made of the code below `docs/`: the OpenAPI document and the JSON Schemas."""

from __future__ import annotations

from pathlib import Path

from volant.api.app import ROUTES
from volant.api.openapi.published import files

DOCS = Path(__file__).resolve().parents[1] / "docs"

for path, content in files(ROUTES).items():
    (DOCS / path).parent.mkdir(exist_ok=True)
    (DOCS / path).write_text(content)
