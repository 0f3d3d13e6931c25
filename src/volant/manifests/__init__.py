"""Manifests: what should be, as files say it. Reading, checking and writing them; nothing here talks to a daemon.

    files ──read──▶ objects, each part with its file:line:column ──check──▶ flaws, all of them at once
    objects ──written──▶ YAML that reads back as the same

`Flaw` is what people read. The server's flaws come back through `server_flaws` with the places of the files.
"""

from volant.manifests.checking import check, server_flaws
from volant.manifests.flaws import Flaw, Unreadable
from volant.manifests.marks import Place
from volant.manifests.reading import Reading, Said, fingerprint, read, read_text
from volant.manifests.refusals import in_the_way
from volant.manifests.writing import written

__all__ = [
    "Flaw",
    "Place",
    "Reading",
    "Said",
    "Unreadable",
    "check",
    "fingerprint",
    "in_the_way",
    "read",
    "read_text",
    "server_flaws",
    "written",
]
