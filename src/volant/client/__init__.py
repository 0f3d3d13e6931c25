"""The Python SDK: a Volant daemon as seen from a program, and from the `volant` command.

    operations ──▶ Call ──▶ aio (AsyncClient) or blocking (Client) ──▶ Structs of the model, or an error of `failures`
    following  ──▶ Watch, Wait ──┘

What is sent and how answers are read is described once, without I/O; the two clients only carry it. They promise:

* What comes back is typed: the views of `volant.model.views`, which the daemon itself encodes.
* A create carries an Idempotency-Key, so it is sent again when its answer is lost, and is done once.
* `watch` lists, then resumes for ever, without gap or duplicate; `wait` is held open by the daemon, never polled.
* No request waits for ever for a daemon that says nothing, and all go to the address that was given and to no other.

Deliberately absent: a cache, a thread, and anything that reads the environment.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from volant.client.failures import ApiError, NoAnswer, NotReached

if TYPE_CHECKING:
    from volant.client.aio import AsyncClient
    from volant.client.blocking import Client
    from volant.client.following import Change

__all__ = ["ApiError", "AsyncClient", "Change", "Client", "NoAnswer", "NotReached"]


HOMES = {"AsyncClient": "aio", "Client": "blocking", "Change": "following"}


def __getattr__(name: str) -> object:
    """Each client is imported when it is first asked for: who blocks needs no event loop."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    return found
