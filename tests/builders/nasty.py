"""Text as attackers write it: pieces that mean something to QEMU, a shell, a kernel, a path or a terminal.

Mixed with pieces that are harmless, so that a good part of what comes out is what somebody might really be called.
"""

from __future__ import annotations

import random

from hypothesis import strategies as st

PIECES = [
    *("a,b", "a,file=/etc/passwd", ",,", ",", "=", "-x", "--", "a b", " ", "a\nb", "\n", "\r\n", "\t", "\0", ":", "/"),
    *("json:{}", "nbd:h:1", "..", "../", "%2e%2e", "$(id)", "`id`", ";id", "|", "&", "'", '"', "\\", "\\n", "*", "~"),
    *("init=/bin/sh", "rdinit=/x", "volant.name=x", "ip=dhcp", "volant.", "{", "}", '{"driver":"file"}', "[", "]"),
    *("x\nruncmd: [id]", "#cloud-config", "#include http://x/", "!!python/object:os.system", "&a", "*a", "<<", "---"),
    *("\u202e", "\u2028", "\u200b", "\x1b[2J", "\x7f", "\x85", "\ufeff", "\ud800", "\U0001f4a9", "\u0130", "é", "ß"),
    *("hostfwd=tcp::22-:22", "guestfwd=tcp:10.0.2.1:1-cmd:id", "path=F", "process=sshd", "logfile=F", "x" * 300),
]
HARMLESS = ["a", "b", "web-1", "0", "9", "-", ".", "_", "1.2.3.4", "10.0.0.1", "/24", "52:54:00:12:34:56", "quiet", "Z"]
ADDRESSES = [
    "127.0.0.1",
    "10.0.2.15/24",
    "10.0.2.2",
    "fd00::1",
    "fd00::2/64",
    "255.255.255.255",
    "1.2.3",
    "::",
    "::1/8",
]

HUNDRED = 100


def hundred(seed: int) -> list[str]:
    """A hundred texts, lone surrogates and NUL among what they are made of; the same ones for the same seed.

    By a generator of its own, because drawing each letter by itself would take longer than what is tested.
    """
    rng = random.Random(seed)
    kinds = (
        lambda: rng.choices(HARMLESS, k=rng.randint(1, 5)),
        lambda: rng.choices(HARMLESS + PIECES, k=rng.randint(1, 6)),
        lambda: [
            rng.choice((rng.choice(PIECES), chr(rng.randrange(0x110000)), chr(rng.randrange(256)))) for _ in "123"
        ],
        lambda: [rng.choice(ADDRESSES)],
    )
    return ["".join(rng.choice(kinds)()) for _ in range(HUNDRED)]


texts: st.SearchStrategy[list[str]] = st.integers(0, 2**32 - 1).map(hundred)
"""A hundred at a time."""
