"""`GET /openapi`, as it is served."""

from __future__ import annotations

from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
from tests.builders.server import serving


async def test_the_document_is_served_in_3_0_and_3_1(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        plain, older, newer = (
            await api.get("/openapi"),
            await api.get("/openapi?version=3.0"),
            await api.get("/openapi?version=3.1"),
        )
    assert plain.status_code == newer.status_code == 200
    assert plain.headers["content-type"] == newer.headers["content-type"] == "application/json"
    assert plain.content == older.content
    assert (plain.json()["openapi"], newer.json()["openapi"]) == ("3.0.3", "3.1.0")
    OpenAPIV30SpecValidator(plain.json()).validate()
    OpenAPIV31SpecValidator(newer.json()).validate()


async def test_the_document_has_an_etag_of_its_own_in_each_version(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        plain, newer = await api.get("/openapi"), await api.get("/openapi?version=3.1")
        tag = plain.headers["etag"]
        assert tag != newer.headers["etag"]
        again = await api.get("/openapi", if_none_match=tag)
        other = await api.get("/openapi?version=3.1", if_none_match=tag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert other.status_code == 200


@pytest.mark.parametrize("query", ["version=2.0", "version=", "format=yaml"])
async def test_another_version_is_refused(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path) as api:
        answer = await api.get(f"/openapi?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


async def test_everything_it_names_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        document = (await api.get("/openapi")).json()
        for path, item in document["paths"].items():
            url = f"http://127.0.0.1:{api.port}" + path.replace("{name}", "nobody")
            answer = await api.http.request("OPTIONS", url)
            assert answer.status_code == 405
            assert {verb.upper() for verb in item} <= set(answer.headers["allow"].split(", "))
