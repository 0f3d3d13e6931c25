"""A file of manifests from the web."""

from __future__ import annotations

import httpx2

from volant.client.failures import NoAnswer

TIMEOUT_S = 30.0


def fetched(url: str, max_bytes: int) -> bytes:
    """What is at this address, up to one byte more than `max_bytes`. Raises NoAnswer.

    Redirects are not followed: what is applied comes from where it was said to.
    """
    found = bytearray()
    try:
        with httpx2.stream("GET", url, timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise NoAnswer(f"cannot be fetched: the server answers {answer.status_code}")
            for part in answer.iter_bytes():
                found += part
                if len(found) > max_bytes:
                    break
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NoAnswer(f"cannot be fetched: {error}") from error
    return bytes(found[: max_bytes + 1])
