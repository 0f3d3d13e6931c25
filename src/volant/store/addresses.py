"""Which address is whose: handed out and taken back in the transaction of the object that holds it.

Each network mode has a pool of its own. Free addresses are kept as ranges that never touch each other, so handing out
the lowest one, taking one back and finding a certain one each cost a look-up in an index, however many are held. Two
holders of one address are ruled out by the key of the table.

A VM holds one address at most of each pool: one that has changed its mode keeps the address of its running guest as
well. Deliberately absent: leases and time. An address is held as long as the row is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from volant.clock import Uid
from volant.errors import Conflict, Invalid, StartupError
from volant.model.vm import NetworkMode
from volant.store.database import Execute

_LOWEST = "SELECT first, last FROM free_ranges WHERE first BETWEEN ? AND ? ORDER BY first LIMIT 1"
_AT_OR_BELOW = "SELECT first, last FROM free_ranges WHERE first <= ? ORDER BY first DESC LIMIT 1"
_AT = "SELECT first, last FROM free_ranges WHERE first = ?"
_HELD = "SELECT address FROM addresses WHERE uid = ? AND address BETWEEN ? AND ?"
_ALL_HELD = "SELECT address FROM addresses WHERE uid = ?"
_HELD_OF = "SELECT count(*) FROM addresses WHERE address BETWEEN ? AND ?"

FIRST_HOST = 10
"""The hosts before this one are left to gateways and to people."""


class Pool(NamedTuple):
    """The addresses that may be handed out, `first` to `last`, both included, as numbers."""

    text: str
    first: int
    last: int


class Pools(NamedTuple):
    """The pool of each mode that has one, and the mode of a VM that asks for none."""

    mode: NetworkMode
    of: Mapping[NetworkMode, Pool]


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


def parse_pools(mode: NetworkMode, texts: Mapping[NetworkMode, str]) -> Pools:
    """The pools of the modes that have one. Raises StartupError, also for two that share addresses."""
    pools = {of: parse_pool(text) for of, text in texts.items() if text}
    for one, pool in pools.items():
        _refuse_overlap(one, pool, {other: p.text for other, p in pools.items() if other != one})
    return Pools(mode, pools)


def adopt_pools(execute: Execute, pools: Pools) -> None:
    """Hand out addresses of `pools` from now on. Raises StartupError when addresses of another pool of a mode are held.

    A mode that has none by now keeps what it had, for the VMs that hold an address of it.
    """
    (text,) = execute("SELECT pool FROM head").fetchone()
    current = _stored(text)
    for mode, pool in pools.of.items():
        before = current.pop(mode, None)
        _refuse_overlap(mode, pool, current)
        if before is not None and before != pool.text:
            _drop(execute, parse_pool(before), pool)
        if before != pool.text:
            execute("INSERT INTO free_ranges (first, last) VALUES (?, ?)", (pool.first, pool.last))
        current[mode] = pool.text
    execute("UPDATE head SET pool = ?", (json.dumps(current, sort_keys=True),))


def held_by(execute: Execute, uid: Uid, pool: Pool) -> str | None:
    """The address of `pool` that `uid` holds."""
    row = execute(_HELD, (uid, pool.first, pool.last)).fetchone()
    return str(IPv4Address(row[0])) if row else None


def is_held_by(execute: Execute, uid: Uid, address: str) -> bool:
    """Whether `uid` holds exactly that address."""
    return any(str(IPv4Address(held)) == address for (held,) in execute(_ALL_HELD, (uid,)).fetchall())


def held_beside(execute: Execute, uid: Uid, address: str, pools: Pools) -> str | None:
    """What `uid` holds of the pool that `address` is of."""
    try:
        number = int(IPv4Address(address))
    except ValueError:
        return None
    pool = next((pool for pool in pools.of.values() if pool.first <= number <= pool.last), None)
    return held_by(execute, uid, pool) if pool is not None else None


def allocate(execute: Execute, uid: Uid, pool: Pool) -> str:
    """The lowest free address of `pool`, now held by `uid`, which must hold none. Raises Conflict when none is free."""
    row = execute(_LOWEST, (pool.first, pool.last)).fetchone()
    if row is None:
        raise Conflict("cannot hand out an address: every one of the pool is held", code="addresses_exhausted")
    first, last = row
    _take(execute, first, last, first, uid)
    return str(IPv4Address(first))


def claim(execute: Execute, address: str, uid: Uid) -> None:
    """Let `uid` hold this one. Raises Conflict when it is not free, Invalid when it is none."""
    try:
        number = int(IPv4Address(address))
    except ValueError as error:
        raise Invalid(f"cannot hand out {address!r}: it is not an IPv4 address") from error
    row = execute(_AT_OR_BELOW, (number,)).fetchone()
    if row is None or row[1] < number:
        raise Conflict(f"cannot hand out {address}: it is held, or not of the pool", code="address_taken")
    _take(execute, row[0], row[1], number, uid)


def release(execute: Execute, uid: Uid, only: str | None = None) -> None:
    """Take back what `uid` holds, or that one address of it. Idempotent."""
    for (held,) in execute(_ALL_HELD, (uid,)).fetchall():
        if only is None or str(IPv4Address(held)) == only:
            _give_back(execute, held)


def _give_back(execute: Execute, number: int) -> None:
    first = last = number
    execute("DELETE FROM addresses WHERE address = ?", (number,))
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


def _stored(text: str) -> dict[NetworkMode, str]:
    """The pools in force. A database from the days of one pool has the text of that of the user network."""
    if not text:
        return {}
    stored: dict[NetworkMode, str] = json.loads(text) if text.startswith("{") else {"user": text}
    return stored


def _drop(execute: Execute, old: Pool, new: Pool) -> None:
    (held,) = execute(_HELD_OF, (old.first, old.last)).fetchone()
    if held:
        raise StartupError(
            f"cannot use {new.text} as the address pool: addresses of {old.text} are held ({held}). "
            f"Start with {old.text}, or delete those VMs first."
        )
    execute("DELETE FROM free_ranges WHERE first BETWEEN ? AND ?", (old.first, old.last))


def _refuse_overlap(mode: NetworkMode, pool: Pool, others: Mapping[NetworkMode, str]) -> None:
    for other, text in others.items():
        if IPv4Network(text).overlaps(IPv4Network(pool.text)):
            raise StartupError(
                f"cannot use {pool.text} as the address pool of the network mode {mode}: it shares addresses with "
                f"{text}, that of {other}."
            )
