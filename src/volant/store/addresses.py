"""Which address is whose: handed out and taken back in the transaction of the object that holds it.

Free addresses are kept as ranges that never touch each other, so handing out the lowest one, taking one back and
finding a certain one each cost a look-up in an index, however many are held. Two holders of one address are ruled
out by the key of the table.

Deliberately absent: leases and time. An address is held as long as the row is.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from volant.clock import Uid
from volant.errors import Conflict, Invalid, StartupError
from volant.store.database import Execute

_LOWEST = "SELECT first, last FROM free_ranges ORDER BY first LIMIT 1"
_AT_OR_BELOW = "SELECT first, last FROM free_ranges WHERE first <= ? ORDER BY first DESC LIMIT 1"
_AT = "SELECT first, last FROM free_ranges WHERE first = ?"
_HELD = "SELECT address FROM addresses WHERE uid = ?"

FIRST_HOST = 10
"""The hosts before this one are left to gateways and to people."""


class Pool(NamedTuple):
    """The addresses that may be handed out, `first` to `last`, both included, as numbers."""

    text: str
    first: int
    last: int


def parse_pool(text: str) -> Pool:
    """`127.88.0.0/16` -> from 127.88.0.10 to the last before the broadcast address. Raises StartupError."""
    try:
        network = IPv4Network(text)
    except ValueError as error:
        raise StartupError(
            f"cannot use {text!r} as the address pool: {error}. Give one such as 127.88.0.0/16."
        ) from error
    first, last = int(network.network_address) + FIRST_HOST, int(network.broadcast_address) - 1
    if first > last:
        raise StartupError(f"cannot use {text} as the address pool: it is too small. Give a /27 or a larger one.")
    return Pool(str(network), first, last)


def adopt_pool(execute: Execute, pool: Pool) -> None:
    """Hand out addresses of `pool` from now on. Raises StartupError when addresses of another pool are held."""
    (current,) = execute("SELECT pool FROM head").fetchone()
    if current == pool.text:
        return
    (held,) = execute("SELECT count(*) FROM addresses").fetchone()
    if held:
        raise StartupError(
            f"cannot use {pool.text} as the address pool: addresses of {current} are held ({held}). "
            f"Start with {current}, or delete those VMs first."
        )
    execute("DELETE FROM free_ranges")
    execute("INSERT INTO free_ranges (first, last) VALUES (?, ?)", (pool.first, pool.last))
    execute("UPDATE head SET pool = ?", (pool.text,))


def held_by(execute: Execute, uid: Uid) -> str | None:
    """The address that `uid` holds."""
    row = execute(_HELD, (uid,)).fetchone()
    return str(IPv4Address(row[0])) if row else None


def allocate(execute: Execute, uid: Uid) -> str:
    """The lowest free address, now held by `uid`, which must hold none. Raises Conflict when none is free."""
    row = execute(_LOWEST).fetchone()
    if row is None:
        raise Conflict("cannot hand out an address: every one of the pool is held", code="addresses_exhausted")
    first, last = row
    _take(execute, first, last, first, uid)
    return str(IPv4Address(first))


def claim(execute: Execute, address: str, uid: Uid) -> None:
    """Let `uid`, which must hold none, hold this one. Raises Conflict when it is not free, Invalid when it is none."""
    try:
        number = int(IPv4Address(address))
    except ValueError as error:
        raise Invalid(f"cannot hand out {address!r}: it is not an IPv4 address") from error
    row = execute(_AT_OR_BELOW, (number,)).fetchone()
    if row is None or row[1] < number:
        raise Conflict(f"cannot hand out {address}: it is held, or not of the pool", code="address_taken")
    _take(execute, row[0], row[1], number, uid)


def release(execute: Execute, uid: Uid) -> None:
    """Take back what `uid` holds. Idempotent."""
    row = execute(_HELD, (uid,)).fetchone()
    if row is None:
        return
    first = last = row[0]
    execute("DELETE FROM addresses WHERE uid = ?", (uid,))
    below = execute(
        "SELECT first, last FROM free_ranges WHERE first < ? ORDER BY first DESC LIMIT 1", (first,)
    ).fetchone()
    above = execute(_AT, (last + 1,)).fetchone()
    if below is not None and below[1] == first - 1:
        first = below[0]
        execute("DELETE FROM free_ranges WHERE first = ?", (first,))
    if above is not None:
        last = above[1]
        execute("DELETE FROM free_ranges WHERE first = ?", (above[0],))
    execute("INSERT INTO free_ranges (first, last) VALUES (?, ?)", (first, last))


def _take(execute: Execute, first: int, last: int, number: int, uid: Uid) -> None:
    """Cut `number` out of the free range from `first` to `last`."""
    if number < last:
        if number == first:
            execute("UPDATE free_ranges SET first = ? WHERE first = ?", (number + 1, first))
        else:
            execute("INSERT INTO free_ranges (first, last) VALUES (?, ?)", (number + 1, last))
    elif number == first:
        execute("DELETE FROM free_ranges WHERE first = ?", (first,))
    if number > first:
        execute("UPDATE free_ranges SET last = ? WHERE first = ?", (number - 1, first))
    execute("INSERT INTO addresses (address, uid) VALUES (?, ?)", (number, uid))
