"""What the simulations share: silence of the log, which would cost more than the simulations themselves."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Nothing is logged: a failure tells the stories of its keys."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True, scope="session")
def put_aside() -> None:
    """What is there before the first simulation stays: to look through all of it again takes as long as ten plays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """Cycles are collected between tests: within one, looking for them takes a fifth of the time."""
    gc.disable()
    yield
    gc.enable()
    gc.collect()
