"""A certificate authority of one test: made in memory, gone with it."""

from __future__ import annotations

import ssl

import trustme


def server_context(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server that proves to be `name`, and of a client that believes this authority only."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client
