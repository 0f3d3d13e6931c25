"""References to images: what the grammar takes, and that nothing else reaches a URL."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volant.errors import ArtifactRefused
from volant.images.oci import parse_reference

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("text", "registry", "name", "wanted"),
    [
        ("r.example/app", "https://r.example", "app", "latest"),
        ("r.example/team/app:1.2", "https://r.example", "team/app", "1.2"),
        ("r.example:5000/a__b/c-d--e.f:T_1", "https://r.example:5000", "a__b/c-d--e.f", "T_1"),
        ("r.example/app:1@" + DIGEST, "https://r.example", "app", DIGEST),
        ("r.example/app@" + DIGEST, "https://r.example", "app", DIGEST),
        ("R.Example/app", "https://r.example", "app", "latest"),
        ("localhost/app", "http://localhost", "app", "latest"),
        ("localhost:5000/app", "http://localhost:5000", "app", "latest"),
        ("127.0.0.1:5000/app", "http://127.0.0.1:5000", "app", "latest"),
        ("[::1]:5000/app", "http://[::1]:5000", "app", "latest"),
        ("[2001:db8::1]/app", "https://[2001:db8::1]", "app", "latest"),
        ("10.0.0.1/app", "https://10.0.0.1", "app", "latest"),
        ("intern:5000/app", "https://intern:5000", "app", "latest"),
    ],
)
def test_a_reference_names_registry_image_and_version(text: str, registry: str, name: str, wanted: str) -> None:
    """C9: a digest beside a tag is what holds; http is spoken on loopback only."""
    found = parse_reference(text)
    assert (found.registry, found.name, found.wanted) == (registry, name, wanted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "library/app",
        "r.example",
        "r.example/",
        "r.example//app",
        "r.example/../../etc/passwd",
        "../../etc/passwd",
        "r.example/a/../b",
        "r.example/.app",
        "r.example/App",
        "r.example/app:",
        "r.example/app:../x",
        "r.example/app:a b",
        "r.example/app\n",
        "r.example/app:1\n",
        "r.example/app?x=1",
        "r.example/app#x",
        "r.example/app%2e%2e",
        "r.example/app@sha256:abc",
        "r.example/app@md5:" + "0" * 32,
        "r.example/app@" + DIGEST.upper(),
        "r.example/app@" + DIGEST + "@" + DIGEST,
        "r.example/app:" + DIGEST,
        "r.example:0/app",
        "r.example:99999/app",
        "http://r.example/app",
        "[::1/app",
        "[zz]:1/app",
        "-r.example/app",
        "r..example/app",
        "r.example/" + "a" * 300,
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    """C9: traversal, short names, schemes, queries, wrong digests, line breaks."""
    with pytest.raises(ArtifactRefused):
        parse_reference(text)


@pytest.mark.parametrize("text", ["user:pw@r.example/app", "pw@r.example/app:1", "user:pw@r.example/app@" + DIGEST])
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    """C9: `user:pw@` is nothing that a message or log may have in it."""
    with pytest.raises(ArtifactRefused) as caught:
        parse_reference(text)
    assert "pw" not in caught.value.message


@given(st.text(alphabet="ab.:/@-_%?#[]\\ ~\n\x00A1é", max_size=40))
def test_what_is_taken_can_stand_in_a_url(text: str) -> None:
    """C9: whatever parses has no part that a URL reads as something else."""
    try:
        found = parse_reference(text)
    except ArtifactRefused:
        return
    assert re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", found.registry)
    assert re.fullmatch(r"[a-z0-9._/-]+", found.name)
    assert ".." not in found.name
    assert "//" not in found.name
    assert re.fullmatch(r"[A-Za-z0-9_.:-]+", found.wanted)
