# shellcheck shell=bash
# A private PostgreSQL: its data directory, its start and its end. Sourced by `services`, which sets `dir` (the folder of the
# pair of servers), `name`, `for_tests`, `start_timeout_s`, `started`, `write_file` and `show_log`,
# and sources packages.sh and processes.sh.

: "${dir:?is the folder of the servers}" "${name:?is the name of the pair}" "${for_tests:?is yes or no}" "${start_timeout_s:?is the patience with a start}"

postgres_home= # set by locate_postgres_home
server_user=   # the user that PostgreSQL runs as where the caller is root, which PostgreSQL refuses
bin=           # the folder of PostgreSQL's programs

# Runs a command as the user that owns the server, from a folder that this user may enter.
as_server_user() {
    if [ -n "$server_user" ]; then
        (cd / && exec runuser -u "$server_user" -- "$@")
    else
        (cd / && exec "$@")
    fi
}

# Finds PostgreSQL's programs: those of the data directory's version, else the newest.
find_postgres() {
    local wanted=${1:-} candidate version
    while read -r candidate; do
        if ! [ -x "$candidate/initdb" ] || ! [ -x "$candidate/psql" ]; then continue; fi
        version=$("$candidate/postgres" --version 2>/dev/null | sed -E 's/[^0-9]*([0-9]+).*/\1/')
        if [ -z "$wanted" ] || [ "$version" = "$wanted" ]; then
            bin=$candidate
            return 0
        fi
    done < <(
        for candidate in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do [ -d "$candidate" ] && echo "$candidate"; done | sort -t/ -k5 -rV
        if candidate=$(command -v postgres); then dirname "$(readlink -f "$candidate")"; fi
    )
    return 1
}

# Decides who runs PostgreSQL and where its files are: in the folder of the pair, or, where the server's user cannot
# get there (a clone below /root, a folder of mode 700), below /var/tmp under a name that follows from the path.
locate_postgres_home() {
    postgres_home=$dir/postgres
    [ "$(id -u)" -eq 0 ] || return 0
    server_user=nobody
    if id -u postgres >/dev/null 2>&1; then server_user=postgres; fi
    if as_server_user test -x "$dir"; then return 0; fi
    local base=/var/tmp
    [ -d $base ] || base=/tmp
    postgres_home=$base/nyc311-$(basename "$dir")-$(printf '%s' "$dir" | cksum | cut -d' ' -f1)
}

postgres_processes() {
    processes_with "postgres -D $postgres_home/data"
}

postgres_runs() {
    [ -n "$(postgres_processes)" ]
}

postgres_url() {
    printf 'postgres://nyc311:%s@127.0.0.1:%s/nyc311' "$(<"$postgres_home/password")" "$(<"$postgres_home/port")"
}

postgres_answers() {
    "$bin/pg_isready" -q -h 127.0.0.1 -p "$(<"$postgres_home/port")" -d postgres -U nyc311 2>/dev/null
}

create_postgres() {
    # The folder below /var/tmp outlives a deleted clone; a clone that comes after it at the same path starts afresh.
    if [ "$postgres_home" != "$dir/postgres" ] && [ -d "$postgres_home" ] &&
        [ "$(cat "$postgres_home/id" 2>/dev/null)" != "$(<"$dir/id")" ]; then
        stop_postgres
        rm -rf "$postgres_home"
    fi
    if [ ! -d "$postgres_home" ]; then
        mkdir -m 700 "$postgres_home"
        cp "$dir/id" "$postgres_home/id"
        [ -z "$server_user" ] || chown "$server_user" "$postgres_home"
    fi
    if [ ! -s "$postgres_home/data/PG_VERSION" ]; then
        find_postgres || die "found no PostgreSQL; install it with: $(install_command postgresql)"
        say "creating a PostgreSQL data directory in $postgres_home"
        rm -rf "$postgres_home/data" "$postgres_home/data.new"
        (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$postgres_home/password")
        [ -z "$server_user" ] || chown "$server_user" "$postgres_home/password"
        as_server_user "$bin/initdb" -D "$postgres_home/data.new" -U nyc311 -A scram-sha-256 \
            --pwfile="$postgres_home/password" -E UTF8 --locale=C --no-sync >"$postgres_home/initdb.log" 2>&1 || {
            show_log "$postgres_home/initdb.log"
            die "could not create a PostgreSQL data directory in $postgres_home"
        }
        # Renamed only when whole: a killed initdb leaves nothing that looks like a database.
        mv "$postgres_home/data.new" "$postgres_home/data"
    fi
    local version
    version=$(<"$postgres_home/data/PG_VERSION")
    find_postgres "$version" || die "the data in $postgres_home is of PostgreSQL $version, which is not installed;" \
        "install it, or delete the data with: scripts/services destroy --name $name"
}

configure_postgres() {
    local durability='on'
    [ "$for_tests" = yes ] && durability='off'
    write_file "$postgres_home/data/postgresql.conf" <<TEXT
# Written by scripts/services at every start.
listen_addresses = '127.0.0.1'
port = $1
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
max_wal_size = 2GB
fsync = $durability
full_page_writes = $durability
jit = off
log_line_prefix = '%m [%p] %d '
timezone = 'UTC'
TEXT
    [ -z "$server_user" ] || chown "$server_user" "$postgres_home/data/postgresql.conf"
}

start_postgres() {
    create_postgres
    if postgres_runs && postgres_answers; then return; fi
    stop_postgres
    started+=(postgres)
    local port try
    for try in 1 2 3 4 5; do
        port=$(choose_port "$postgres_home/port")
        printf '%s\n' "$port" | write_file "$postgres_home/port"
        configure_postgres "$port"
        # A process id that something else got since a crash would be taken for a running server.
        rm -f "$postgres_home/data/postmaster.pid"
        if as_server_user "$bin/pg_ctl" start -s -w -t "$start_timeout_s" -D "$postgres_home/data" \
            -l "$postgres_home/postgres.log" >/dev/null 2>&1 9>&- && postgres_answers; then
            break
        fi
        # The backends of a killed server hold its memory until they notice.
        stop_postgres
        [ "$try" -lt 5 ] || {
            show_log "$postgres_home/postgres.log"
            die "PostgreSQL did not start"
        }
        sleep 2
    done
    [ "$(psql_here -d postgres -XqAtc "select 1 from pg_database where datname = 'nyc311'")" = 1 ] ||
        psql_here -d postgres -Xqc 'create database nyc311'
}

# Runs psql there; the last -d counts.
psql_here() {
    PGPASSWORD=$(<"$postgres_home/password") PGCONNECT_TIMEOUT=10 \
        "$bin/psql" -h 127.0.0.1 -p "$(<"$postgres_home/port")" -U nyc311 -d nyc311 "$@"
}

stop_postgres() {
    local pids
    mapfile -t pids < <(postgres_processes)
    [ ${#pids[@]} -gt 0 ] || return 0
    # SIGINT is PostgreSQL's fast shutdown: it ends the sessions and writes a checkpoint; SIGTERM waits for the sessions.
    kill -INT "${pids[@]}" 2>/dev/null || true
    local deadline=$((SECONDS + 30))
    while postgres_runs && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
    mapfile -t pids < <(postgres_processes)
    # SIGQUIT is the immediate one; the next start recovers from the log.
    [ ${#pids[@]} -eq 0 ] || kill -QUIT "${pids[@]}" 2>/dev/null || true
    [ ${#pids[@]} -eq 0 ] || end_processes 10 "${pids[@]}"
}
