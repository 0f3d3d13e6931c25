"""The OpenAPI document: made of the route table and the Structs, served, and published as files.

    route table, Structs, codes ──▶ document (3.1) ──▶ oas30 (3.0.3) ──▶ bytes, made once, when first asked for

It promises that what it says of a request is what the decoder enforces, and that what it says of an answer is what the
encoder writes. Deliberately absent: a second list of anything. An operation is described by its line in the route table
and by its handler's docstring.
"""

from __future__ import annotations

from volant.api.openapi.contract import Contract

__all__ = ["Contract"]
