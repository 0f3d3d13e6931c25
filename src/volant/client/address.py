"""Where a client's requests go, and how long they may take."""

from __future__ import annotations

import os
import re
from typing import Any

from volant.client.call import Call
from volant.client.failures import NoAnswer
from volant.errors import Invalid

REPEATS = 2
"""How often a request that cannot do harm is sent again."""

_URL = re.compile(r"https?://[^/?#@\s\\]+(?:/[^?#@\s\\]*)?")


def checked(url: str) -> str:
    """The address of a daemon without a slash at its end. Raises Invalid for what is none."""
    if not _URL.fullmatch(url):
        raise Invalid(f"cannot use {url!r} as the address of a daemon: expected one such as http://127.0.0.1:8080")
    return url.rstrip("/")


def needs_tls(url: str) -> bool:
    """Whether certificates are to be checked. Where there are none they are not loaded: that takes longest of all."""
    return url.startswith("https:")


def patience_s(call: Call[Any], timeout_s: float) -> float:
    """How long to wait for the answer to this call."""
    return timeout_s if call.bound_s is None else max(timeout_s, call.bound_s)


def silence(url: str, error: Exception, *, is_reached: bool) -> NoAnswer:
    """What is said of a daemon that did not answer, or could not even be asked."""
    if not is_reached:
        return NoAnswer(f"cannot reach the daemon at {url}: {_root(error)}")
    said = str(error) or type(error).__name__
    return NoAnswer(f"cannot get an answer of the daemon at {url}: {said}", is_reached=True)


def _root(error: BaseException) -> str:
    """What the system said, in its words: each library that asks it puts others around them."""
    at: BaseException | None = error
    said = str(error) or type(error).__name__
    while at is not None:
        if isinstance(at, OSError) and at.errno is not None:
            # A name that is not known has a number of another table, below zero, and the words are its own.
            said = os.strerror(at.errno) if at.errno > 0 else at.strerror or said
        at = at.exceptions[0] if isinstance(at, BaseExceptionGroup) else at.__cause__ or at.__context__
    return said
