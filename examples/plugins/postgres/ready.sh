#!/bin/sh
# Whether the server takes connections, said over http to whoever asks.
if /usr/lib/postgresql/15/bin/pg_isready -q -h /run/postgresql; then
    printf 'Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nready\n'
else
    printf 'Status: 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\nnot ready\n'
fi
