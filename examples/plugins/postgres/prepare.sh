#!/bin/sh
# Makes the cluster at the first boot; at every other one there is nothing to do.
#
#   POSTGRES_PASSWORD          password of the first user; without it nothing is started
#   POSTGRES_USER              its name (postgres)
#   POSTGRES_DB                a database to begin with (the user's name)
#   POSTGRES_HOST_AUTH_METHOD  how whoever connects is asked (scram-sha-256); `trust` needs no password
#
# The cluster is made beside its place and moved there when it is whole: a guest that ends in between begins again.
set -eu
umask 077
DATA=/var/lib/postgresql/15
BIN=/usr/lib/postgresql/15/bin
METHOD=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
OWNER=${POSTGRES_USER:-postgres}
DB=${POSTGRES_DB:-$OWNER}

say() { echo "postgres: $*"; }

as_postgres() { su -s /bin/sh postgres -c "$1"; }

[ ! -e "$DATA/PG_VERSION" ] || exit 0

case $METHOD in
scram-sha-256 | md5 | trust) ;;
*) say "cannot use the authentication method '$METHOD': scram-sha-256, md5 or trust"; exit 1 ;;
esac
case $OWNER$DB in
*[!A-Za-z0-9_-]*) say "cannot use that user or database: letters, digits, '_' and '-' are taken"; exit 1 ;;
esac
if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$METHOD" != trust ]; then
    say "cannot begin without a password. Set POSTGRES_PASSWORD in the VM's env (or POSTGRES_HOST_AUTH_METHOD=trust)"
    exit 1
fi

say "making the cluster"
rm -rf "$DATA.new"
set -- --username="$OWNER" --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host="$METHOD" --no-sync
if [ -n "${POSTGRES_PASSWORD:-}" ]; then
    # In memory, for as long as it takes; never on the disk and in no list of processes.
    printf '%s\n' "$POSTGRES_PASSWORD" >/run/postgresql/password
    chown postgres /run/postgresql/password
    set -- "$@" --pwfile=/run/postgresql/password
fi
as_postgres "exec $BIN/initdb -D $DATA.new $*" >/run/postgresql/initdb.log 2>&1 || { cat /run/postgresql/initdb.log; exit 1; }
rm -f /run/postgresql/password /run/postgresql/initdb.log
echo "host all all all $METHOD" >>"$DATA.new/pg_hba.conf"
if [ "$DB" != postgres ]; then
    echo "CREATE DATABASE \"$DB\"" | as_postgres "exec $BIN/postgres --single -j -D $DATA.new postgres" >/dev/null
fi
sync
mv "$DATA.new" "$DATA"
sync
say "the cluster is made"
