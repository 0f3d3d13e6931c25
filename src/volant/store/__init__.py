"""What Volant knows: one SQLite database, written in order by one writer, read by everybody.

Objects go in by jobs (`Store.write`), and with every change of an object goes the event that tells of it, in the same
transaction. After the commit the events are published on the bus; nothing is published that is not on the disk. Reads
see the last commit: there is no cache that could be older.

    Store           open it, read it, write to it
    Transaction     what a job may do
    Filter          which objects a list is of
    Rows            the look-ups that the two have in common
    Member, Pruned  what a set of applied objects has, and has lost lately
    standings       what the objects of a set are judged by
    users_staying   who is in the way of a plugin's end
    Remembered      a request that came with an Idempotency-Key, and the answer it was Given
    Fork            a copy of it in memory
    DataDirLock     one daemon a data directory
    Holder          which daemon that is, as the database has it

Nothing of SQLite or peewee leaves this room: errors are those of `volant.errors`, values those of `volant.model`. There
is deliberately no query language and no update without a reason: each write names the event it is.
"""

from volant.store.fork import Fork
from volant.store.idempotency import Given, Remembered
from volant.store.lease import DataDirLock
from volant.store.ownership import RESTORABLE_S, Member, Pruned
from volant.store.rows import Rows
from volant.store.standing import standings
from volant.store.store import Store
from volant.store.transaction import Transaction
from volant.store.usage import users_staying
from volant.store.values import Child, Column, Filter, Holder, Position, Sizes, StoreSettings, Tally

__all__ = [
    "RESTORABLE_S",
    "Child",
    "Column",
    "DataDirLock",
    "Filter",
    "Fork",
    "Given",
    "Holder",
    "Member",
    "Position",
    "Pruned",
    "Remembered",
    "Rows",
    "Sizes",
    "Store",
    "StoreSettings",
    "Tally",
    "Transaction",
    "standings",
    "users_staying",
]
