"""Orders that the next pages of a list need: uids, as the first page found them.

Only for lists that are sorted by what may change, where no position means the same from one page to the next. The last
few are kept, in memory: a reader whose order is gone is told to begin again, never shown half a list.
"""

from __future__ import annotations

from collections import OrderedDict

from volant.clock import Uid
from volant.errors import Gone

KEPT = 16
"""Orders, each of a pointer an object."""


class Orders:
    """The last few orders, by name. One that is read is kept longer."""

    def __init__(self, kept: int = KEPT) -> None:
        self._most = kept
        self._orders: OrderedDict[str, tuple[Uid, ...]] = OrderedDict()

    def keep(self, name: str, uids: tuple[Uid, ...]) -> None:
        """Keep an order under a name that was never given before, by another daemon neither."""
        self._orders[name] = uids
        while len(self._orders) > self._most:
            self._orders.popitem(last=False)

    def of(self, name: str) -> tuple[Uid, ...]:
        """The order of that name. Raises Gone."""
        uids = self._orders.get(name)
        if uids is None:
            raise Gone(
                "cannot continue this list: its order is no longer kept. Begin again without `continue`",
                code="page_expired",
            )
        self._orders.move_to_end(name)
        return uids
