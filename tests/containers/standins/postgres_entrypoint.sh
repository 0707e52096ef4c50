#!/usr/bin/env bash
# Starts PostgreSQL as its official image does: makes the data folder at the first start, by what POSTGRES_* says and by the
# scripts of /docker-entrypoint-initdb.d, and serves as the user postgres.
set -euo pipefail

if [ "$(id -u)" -eq 0 ]; then
    chown postgres:postgres "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups bash "$0" "$@"
fi
if ! [ -s "$PGDATA/PG_VERSION" ]; then
    export POSTGRES_USER=${POSTGRES_USER:-postgres}
    # shellcheck disable=SC2086 # words, as the official image takes them
    initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --auth-local trust --auth-host scram-sha-256 \
        --pwfile "$POSTGRES_PASSWORD_FILE" ${POSTGRES_INITDB_ARGS:-} --no-instructions
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses=''" --wait start
    for script in /docker-entrypoint-initdb.d/*.sh; do bash "$script"; done
    pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
fi
exec "$@"
