"""The tables, and how a database of any earlier version becomes one of this.

    objects      one row an object: the document, and beside it the columns that are looked up or counted
    events       one row a committed write, by revision: the outbox that bus, streams and history are fed from
    addresses    who holds which address          free_ranges    which addresses nobody holds
    config_changes  what changed of a VM's config    idempotency  answers to writes that carried a key
    revisions    the templates that deployments have and had
    set_revisions  what applies made of sets
    lease        one row: which daemon may write
    head         one row: the last revision, where the event log begins, which pool the addresses are of

The version is SQLite's `user_version`; every database, a fresh one too, gets where it is by the same numbered
migrations, each in a transaction of its own. Migration 1 makes the tables as the classes below describe them, so a
class changes only together with a new migration, and a test holds migration 1 to what it always made.

The classes are for making tables only. Rows are read and written in SQL, because building a query costs more than
running it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from peewee import AutoField, BlobField, CompositeKey, DoubleField, IntegerField, Model, TextField

from volant.errors import StartupError
from volant.store.database import Connection

APPLICATION_ID = 0x566F6C61
"""Marks the file as Volant's ("Vola")."""

Migration = Callable[[Connection], None]


class ObjectRow(Model):
    """`seq` is the order of creation; from `revision` on, all columns are `rows.columns` of the document."""

    seq = AutoField()
    kind = TextField()
    name = TextField()
    uid = TextField(unique=True)
    revision = IntegerField()
    generation = IntegerField()
    owner_uid = TextField(null=True)
    plugin = TextField(null=True)
    is_running = IntegerField()
    is_ready = IntegerField()
    is_deleting = IntegerField()
    doc = BlobField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "objects"
        strict_tables = True
        indexes = ((("kind", "name"), True), (("kind",), False), (("plugin", "kind"), False))


# Holds all that a Child is made of, so that counting ten thousand children reads no document.
ObjectRow.add_index(
    ObjectRow.owner_uid,
    ObjectRow.seq,
    ObjectRow.name,
    ObjectRow.uid,
    ObjectRow.revision,
    ObjectRow.is_running,
    ObjectRow.is_ready,
    ObjectRow.is_deleting,
    where=ObjectRow.owner_uid.is_null(False),
    name="objects_children",
)


class EventRow(Model):
    """All that `Committed` is made of, but for `preceding`, which came later."""

    revision = IntegerField(primary_key=True)
    type = TextField()
    kind = TextField()
    name = TextField()
    uid = TextField()
    owner_kind = TextField(null=True)
    owner_name = TextField(null=True)
    owner_uid = TextField(null=True)
    plugin = TextField(null=True)
    at = DoubleField()
    data = BlobField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "events"
        strict_tables = True


class AddressRow(Model):
    """An IPv4 address as a number, and the uid of its holder."""

    address = IntegerField(primary_key=True)
    uid = TextField(unique=True)  # until version 6

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "addresses"
        strict_tables = True


class FreeRangeRow(Model):
    """The addresses from `first` to `last`, both included, are free. Ranges never touch each other."""

    first = IntegerField(primary_key=True)
    last = IntegerField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "free_ranges"
        strict_tables = True


class HeadRow(Model):
    """The one row with id 1. `revision` outlives every event, so no revision is ever given twice."""

    id = IntegerField(primary_key=True)
    revision = IntegerField()
    oldest_event = IntegerField()
    pool = TextField()
    probes = IntegerField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "head"
        strict_tables = True


def _make_tables(connection: Connection) -> None:
    tables = (ObjectRow, EventRow, AddressRow, FreeRangeRow, HeadRow)
    with connection.db.bind_ctx(tables):
        connection.db.create_tables(tables, safe=False)
    connection.execute("INSERT INTO head (id, revision, oldest_event, pool, probes) VALUES (1, 0, 0, '', 0)")


class ConfigChangeRow(Model):
    """One change of a VM's config; `changes` is the JSON object that the API shows. Goes with the VM."""

    id = AutoField()
    uid = TextField()
    at = DoubleField()
    author = TextField()
    request_id = TextField(null=True)
    generation = IntegerField()
    changes = BlobField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "config_changes"
        strict_tables = True
        indexes = ((("uid", "id"), False),)


class IdempotencyRow(Model):
    """The answer to a write that came with an Idempotency-Key.

    Until there is one `status` is null, and `body` says what the write waits for. `key` is the caller's, `fingerprint`
    a digest of method, path, query and body; `uid` the object it wrote.
    """

    key = TextField(primary_key=True)
    fingerprint = TextField()
    at = DoubleField(index=True)
    uid = TextField(null=True)
    status = IntegerField(null=True)
    headers = BlobField(null=True)
    body = BlobField(null=True)

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "idempotency"
        strict_tables = True


def _make_config_changes(connection: Connection) -> None:
    with connection.db.bind_ctx((ConfigChangeRow,)):
        connection.db.create_tables((ConfigChangeRow,), safe=False)
    # So that every history has a beginning: that of a VM which was there before is what its document says of it.
    for uid, doc in connection.select("SELECT uid, doc FROM objects WHERE kind = 'VM' ORDER BY seq"):
        meta = json.loads(doc)["meta"]
        author = "deployment" if meta.get("owner") else "api"
        connection.execute(
            "INSERT INTO config_changes (uid, at, author, generation, changes) VALUES (?, ?, ?, 1, ?)",
            (uid, meta["created_at"], author, b'{"created":true}'),
        )


def _make_idempotency(connection: Connection) -> None:
    with connection.db.bind_ctx((IdempotencyRow,)):
        connection.db.create_tables((IdempotencyRow,), safe=False)


class LeaseRow(Model):
    """The one row with id 1. `holder` is null when whoever took `epoch` has let go, or did not say who it is."""

    id = IntegerField(primary_key=True)
    epoch = IntegerField()
    holder = BlobField(null=True)
    since = DoubleField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "lease"
        strict_tables = True


def _make_lease(connection: Connection) -> None:
    with connection.db.bind_ctx((LeaseRow,)):
        connection.db.create_tables((LeaseRow,), safe=False)
    connection.execute("INSERT INTO lease (id, epoch, holder, since) VALUES (1, 0, NULL, 0)")


def _link_events(connection: Connection) -> None:
    """Each event names the one before it of the same object; see `eventlog`. Those that are there name none."""
    connection.execute("ALTER TABLE events ADD COLUMN preceding INTEGER")


class PublishedRow(Model):
    """`port` on `address` of the host is the VM's of that uid."""

    port = IntegerField()
    address = TextField()
    uid = TextField(index=True)

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "published"
        strict_tables = True
        primary_key = CompositeKey("port", "address")


class ManyAddressesRow(Model):
    """As AddressRow; but a VM may hold one of each pool."""

    address = IntegerField(primary_key=True)
    uid = TextField(index=True)

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "addresses"
        strict_tables = True


def _make_published(connection: Connection) -> None:
    connection.execute("ALTER TABLE addresses RENAME TO single_addresses")
    with connection.db.bind_ctx((PublishedRow, ManyAddressesRow)):
        connection.db.create_tables((PublishedRow,), safe=False)
        connection.db.create_tables((ManyAddressesRow,), safe=False)
    connection.execute("INSERT INTO addresses SELECT address, uid FROM single_addresses")
    connection.execute("DROP TABLE single_addresses")


class FieldsRow(Model):
    """Which fields of an object a manager has said: a JSON array of pointers."""

    uid = TextField()
    manager = TextField()
    paths = TextField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "fields"
        strict_tables = True
        primary_key = CompositeKey("uid", "manager")


class SetMemberRow(Model):
    """The set that an object was applied with."""

    uid = TextField(primary_key=True)
    set_name = TextField(index=True)

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "set_members"
        strict_tables = True


class PrunedRow(Model):
    """An object that was pruned of a set: the manifest that makes it again."""

    id = AutoField()
    set_name = TextField(index=True)
    kind = TextField()
    name = TextField()
    at = DoubleField()
    document = BlobField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "pruned"
        strict_tables = True


def _make_sets(connection: Connection) -> None:
    tables = (FieldsRow, SetMemberRow, PrunedRow)
    with connection.db.bind_ctx(tables):
        connection.db.create_tables(tables, safe=False)


class RevisionRow(Model):
    """A template that a deployment has or had: the JSON document, and its digest. Goes with the deployment."""

    uid = TextField()
    number = IntegerField()
    template = BlobField()
    digest = TextField()
    at = DoubleField()
    cause = TextField()

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "revisions"
        strict_tables = True
        primary_key = CompositeKey("uid", "number")


def _make_revisions(connection: Connection) -> None:
    """VMs that are there have no template: they count as made of the one that their deployment has."""
    with connection.db.bind_ctx((RevisionRow,)):
        connection.db.create_tables((RevisionRow,), safe=False)
    connection.execute("ALTER TABLE objects ADD COLUMN template TEXT")
    connection.execute("ALTER TABLE objects ADD COLUMN ready_since REAL")
    connection.execute("DROP INDEX objects_children")
    connection.execute(
        "CREATE INDEX objects_children ON objects (owner_uid, seq, name, uid, revision, is_running, is_ready, "
        "is_deleting, template, ready_since) WHERE owner_uid IS NOT NULL"
    )


class SetRevisionRow(Model):
    """What an apply made of a set: the JSON documents of it, of what was said, and of what it takes to go back."""

    set_name = TextField()
    number = IntegerField()
    state = TextField()
    at = DoubleField()
    head = BlobField()
    documents = BlobField(null=True)
    undo = BlobField(null=True)

    class Meta:  # noqa: D106 -- because its meaning is peewee's
        table_name = "set_revisions"
        strict_tables = True
        primary_key = CompositeKey("set_name", "number")


def _make_set_revisions(connection: Connection) -> None:
    with connection.db.bind_ctx((SetRevisionRow,)):
        connection.db.create_tables((SetRevisionRow,), safe=False)
    connection.execute("CREATE INDEX sets_progressing ON set_revisions (set_name) WHERE state = 'progressing'")


MIGRATIONS: tuple[Migration, ...] = (
    _make_tables,
    _make_config_changes,
    _make_idempotency,
    _make_lease,
    _link_events,
    _make_published,
    _make_sets,
    _make_revisions,
    _make_set_revisions,
)
"""The n-th, counted from 1, makes version n out of version n - 1. Appended to, never changed."""


def migrate(connection: Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the database to the version that `migrations` lead to. Raises StartupError for one that is beyond it.

    A migration that fails leaves the database at the version before.
    """
    version = _version(connection, path)
    if version > len(migrations):
        raise StartupError(
            f"cannot open {path}: it was written by a newer Volant (schema {version}, this one knows "
            f"{len(migrations)}). Upgrade, or use another --data-dir."
        )
    for number, migration in enumerate(migrations[version:], start=version + 1):
        with connection.transaction("EXCLUSIVE"):
            migration(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")


def _version(connection: Connection, path: Path) -> int:
    (((version,),), ((application,),)) = (
        connection.select("PRAGMA user_version"),
        connection.select("PRAGMA application_id"),
    )
    if application != APPLICATION_ID and (version or connection.db.get_tables()):
        raise StartupError(f"cannot open {path}: another program made it. Move it away, or use another --data-dir.")
    return int(version)
