"""The document as it is served: bytes and an ETag, made when somebody first asks for them and kept."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

import msgspec

from volant.api.call import Written
from volant.api.openapi.document import Routes, document
from volant.api.openapi.oas30 import to_oas30

Version = Literal["3.0", "3.1"]


class Contract:
    """What the API of a route table promises, in either version of OpenAPI."""

    def __init__(self, table: Routes) -> None:
        self._table = table
        self._written: dict[Version, Written] = {}

    def written(self, version: Version) -> Written:
        """The document, `3.0` or `3.1`."""
        found = self._written.get(version)
        if found is None:
            found = self._written[version] = self._write(version)
        return found

    def _write(self, version: Version) -> Written:
        made = document(self._table)
        body = msgspec.json.encode(made if version == "3.1" else to_oas30(made))
        return Written(body, sha256(body).hexdigest()[:16])
