"""The bridge network of a data directory whose daemon does not run: what there is of it, and how it goes.

The lock of the data directory is held meanwhile, so that no daemon puts back what is being removed.
"""

from __future__ import annotations

from volant.config import Settings
from volant.drivers.bridge import owner_of
from volant.drivers.bridge.teardown import Found, look, take_down
from volant.errors import DriverRefused, StartupError
from volant.store import DataDirLock

__all__ = ["Found", "found", "remove"]


async def found(settings: Settings) -> Found:
    """What there is. Whether a daemon runs makes no difference."""
    return await look(settings.bridge_name, owner_of(settings.data_dir))


async def remove(settings: Settings, *, force: bool) -> Found:
    """Remove all of it; what there was. DriverRefused while a daemon would put it back, or guests are on it.

    With `force` guests are left without a network. They get it back when a daemon is started.
    """
    try:
        lock = DataDirLock.acquire(settings.data_dir)
    except StartupError as error:
        raise DriverRefused(f"cannot take the network down: {error.message.removeprefix('cannot ')}") from error
    try:
        owner = owner_of(settings.data_dir)
        used = [tap.uid for tap in (await look(settings.bridge_name, owner)).taps if tap.is_used]
        if used and not force:
            raise DriverRefused(
                f"cannot take the network down: {len(used)} VMs run on it. Stop them (volant serve, volant drain), "
                "or say --force to leave them without it"
            )
        return await take_down(settings.bridge_name, owner)
    finally:
        lock.release()
