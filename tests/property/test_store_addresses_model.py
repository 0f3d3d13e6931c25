"""Handing out addresses against a set of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volant.clock import Uid
from volant.errors import Conflict
from volant.store import StoreSettings
from volant.store.addresses import Pools, adopt_pools, allocate, claim, held_by, parse_pool, release
from volant.store.database import Connection, open_writing
from volant.store.schema import migrate

POOL = parse_pool("127.88.0.0/27")
HOSTS = range(10, 31)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("allocate"), st.just(0)),
        st.tuples(st.just("claim"), st.integers(8, 33)),
        st.tuples(st.just("release"), st.integers(8, 33)),
    ),
    max_size=80,
)


@contextmanager
def a_database() -> Iterator[Connection]:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "volant.db"
        connection = open_writing(path, StoreSettings(synchronous="off"))
        migrate(connection, path)
        connection.execute("BEGIN")
        adopt_pools(connection.execute, Pools("user", {"user": POOL}))
        yield connection
        connection.execute("ROLLBACK")
        connection.close()


def address(host: int) -> str:
    return f"127.88.0.{host}"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(HOSTS)), steps)
def test_the_lowest_free_one_is_handed_out_and_none_twice(held: int, steps: list[tuple[str, int]]) -> None:
    free, holders = set(HOSTS), dict[int, Uid]()
    with a_database() as connection:
        execute = connection.execute
        for n, (step, host) in enumerate([("allocate", 0)] * held + steps):
            uid = Uid(f"uid-{n}")
            if step == "release":
                release(execute, holders.pop(host, uid))
                free |= {host} & set(HOSTS) - set(holders)
            elif step == "claim" and host in free:
                claim(execute, address(host), uid)
                free.remove(host)
                holders[host] = uid
            elif step == "claim":
                with pytest.raises(Conflict):
                    claim(execute, address(host), uid)
            elif free:
                assert allocate(execute, uid, POOL) == address(min(free))
                holders[min(free)] = uid
                free.remove(min(free))
            else:
                with pytest.raises(Conflict):
                    allocate(execute, uid, POOL)
            ranges = connection.select("SELECT first & 255, last & 255 FROM free_ranges ORDER BY first")
            assert {host for first, last in ranges for host in range(first, last + 1)} == free
            assert all(above[0] > below[1] + 1 for below, above in pairwise(ranges)), "they touch"
        assert [held_by(execute, uid, POOL) for uid in holders.values()] == [address(host) for host in holders]
