"""What is read of a URL before anything is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volant.errors import ArtifactRefused
from volant.images.http import parse_hop, shown
from volant.images.local import parse_path


@pytest.mark.parametrize(
    ("url", "host", "port", "netloc"),
    [
        ("http://files.test/a?b#c", "files.test", 80, b"files.test"),
        ("HTTPS://Files.Test/", "files.test", 443, b"files.test"),
        ("http://files.test:8080/", "files.test", 8080, b"files.test:8080"),
        ("http://[::1]:90/", "::1", 90, b"[::1]:90"),
        ("http://bücher.test/", "xn--bcher-kva.test", 80, b"xn--bcher-kva.test"),
    ],
)
def test_a_url_names_a_host_and_a_port(url: str, host: str, port: int, netloc: bytes) -> None:
    hop = parse_hop(url)
    assert (hop.host, hop.port, hop.url.netloc) == (host, port, netloc)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://x.test/",
            "gopher://x.test/",
            "data:,hello",
            "javascript:alert(1)",
            "unix:///run/x",
            "x",
            "//x.test/y",
        ),
        *("http://", "http:///x", "http://[::1", "http://x.test:0/", "http://x.test:99999/", "http://a\r\nb.test/", ""),
        *("http://user@x.test/", "http://user:secret@x.test/", "http://x.test\\@y.test/", "http://\udc80/"),
        *("http://[fe80::1%25eth0]/", "http://a%20b.test/", "http://[broken/"),
    ],
)
def test_what_is_not_a_plain_web_url_is_refused(url: str) -> None:
    """D1, D6"""
    with pytest.raises(ArtifactRefused) as refused:
        parse_hop(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user:secret@x.test/a/b?sig=secret#secret", "https://x.test/a/b"),
        ("http://x.test?secret", "http://x.test"),
        ("file:///a/b", "file:///a/b"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_message_shows_neither_credentials_nor_query(url: str, said: str) -> None:
    """D6, E5"""
    assert shown(url) == said


@given(st.text(max_size=30))
def test_any_text_is_a_hop_or_refused(text: str) -> None:
    """D1, D2"""
    for url in (text, "http://" + text, "https://x.test:" + text):
        try:
            hop = parse_hop(url)
        except ArtifactRefused:
            continue
        assert hop.url.scheme in ("http", "https")
        assert hop.host and hop.host.isascii() and 0 < hop.port < 65536
        assert not hop.url.userinfo


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("file://localhost/a", "/a"),
        ("FILE:///a", "/a"),
        ("file:///with%20space", "/with space"),
    ],
)
def test_a_file_url_is_an_absolute_path(url: str, path: str) -> None:
    assert parse_path(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        *("file://host/a", "file:a", "file:", "file://", "file:///a?b", "file:///a#b", "file:///a%00b", "file:///%ff"),
        *("http:///a", "file://[", "file:///a\0b"),
    ],
)
def test_any_other_file_url_is_refused(url: str) -> None:
    """C10, D1"""
    with pytest.raises(ArtifactRefused):
        parse_path(url)
