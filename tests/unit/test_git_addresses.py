"""What may be a token in the address of a repository is shown to nobody, however it is written."""

from __future__ import annotations

import pytest

from volant.gitops import WrongSource, address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("HTTPS://s3cret@git.example.org/a.git", "https://***@git.example.org/a.git"),
        ("https://s3@cret@git.example.org/a.git", "https://***@git.example.org/a.git"),
        ("https://git.example.org/a.git?private_token=s3cret", "https://git.example.org/a.git?***"),
        ("Https://s3cret@git.example.org/a?t=s3cret#s3cret", "https://***@git.example.org/a?***"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_token(url: str, shown: str) -> None:
    found = address(url)
    assert found.shown == shown
    assert found.url.startswith(("https:", "ssh:")), "git knows no other way to write it"
    said = found.cleared(
        f"fatal: unable to access '{url}/': and '{found.url}/info/refs?service=s3cret' HTTPS://s3cret@h"
    )
    assert "cret" not in said


def test_the_user_of_ssh_is_no_secret() -> None:
    assert address("SSH://git@git.example.org/a.git").shown == "ssh://git@git.example.org/a.git"


@pytest.mark.parametrize(
    "url",
    [
        "HTTPS://me:s3cret@git.example.org/a.git",
        "http://s3cret@git.example.org/a.git",
        "HTTP://git.example.org/a.git?private_token=s3cret",
        "ftp://me:s3cret@git.example.org/a.git",
        "https://git.example.org/a.git\ns3cret",
        "https://[s3cret@git.example.org/a.git",
    ],
)
def test_a_refusal_says_no_token(url: str) -> None:
    with pytest.raises(WrongSource) as refused:
        address(url)
    assert "s3cret" not in refused.value.message
